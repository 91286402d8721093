// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/manifest"
	"github.com/meshwright/meshwright/internal/trust"
)

// applyNamespaces creates the namespaces that are missing. One that exists is
// its owner's and is not touched.
func (r *Reconciler) applyNamespaces(ctx context.Context, s *scope) error {
	for _, name := range manifest.Namespaces(s.revision.Spec) {
		found := &corev1.Namespace{}
		err := r.Reader.Get(ctx, types.NamespacedName{Name: name}, found)
		switch {
		case err == nil && found.DeletionTimestamp != nil:
			return conditions.Wait(v1alpha1.ReasonNamespaceTerminating, recheckWaiting,
				"namespace %s is being deleted; it is created again when it is gone", name)
		case err == nil:
			continue
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("read namespace %s: %w", name, err)
		}
		created := manifest.Namespace(name, s.revision.Name)
		if r.Operator != nil && s.filled(name) {
			// Somebody deleted it with all that was in it; so may the garbage collector, once no operator is left to do it.
			created.OwnerReferences = []metav1.OwnerReference{owner.OfRevision(s.revision), *r.Operator}
		}
		if err := r.Client.Create(ctx, created, client.FieldOwner(apply.Manager)); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	return nil
}

// filled says whether something was installed into a namespace before.
func (s *scope) filled(namespace string) bool {
	return slices.ContainsFunc(s.revision.Status.Inventory, func(e v1alpha1.InventoryEntry) bool {
		return e.Namespace == namespace && e.Digest != ""
	})
}

// removeNamespaces deletes the namespaces that the operator created, when no
// other revision uses them and nothing of others is in them. It returns the
// names of those that are still going.
func (r *Reconciler) removeNamespaces(ctx context.Context, revision *v1alpha1.MeshRevision, others []v1alpha1.MeshRevision) ([]string, error) {
	var namespaces corev1.NamespaceList
	if err := r.Reader.List(ctx, &namespaces, client.HasLabels{v1alpha1.LabelRevision}); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var going []string
	for i := range namespaces.Items {
		namespace := &namespaces.Items[i]
		if usedBy(others, namespace.Name) || namedBy(others, namespace.Labels[v1alpha1.LabelRevision]) {
			continue
		}
		if namespace.DeletionTimestamp != nil {
			going = append(going, namespace.Name)
			continue
		}
		kept, err := r.tenant(ctx, namespace.Name)
		if err != nil {
			return nil, err
		}
		if kept != "" {
			r.event(revision, corev1.EventTypeNormal, "NamespaceKept", "Delete",
				"namespace "+namespace.Name+" stays, because "+kept+" is in it")
			continue
		}
		if err := r.Client.Delete(ctx, namespace, client.Preconditions{UID: &namespace.UID}); err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("delete namespace %s: %w", namespace.Name, err)
		}
		going = append(going, namespace.Name)
	}
	return going, nil
}

func usedBy(others []v1alpha1.MeshRevision, namespace string) bool {
	return slices.ContainsFunc(others, func(other v1alpha1.MeshRevision) bool {
		return other.Spec.Namespace == namespace || slices.Contains(manifest.Namespaces(other.Spec), namespace)
	})
}

func namedBy(others []v1alpha1.MeshRevision, revision string) bool {
	return slices.ContainsFunc(others, func(other v1alpha1.MeshRevision) bool { return other.Name == revision })
}

// Tenants are the kinds that make a namespace somebody's: what people put into
// the namespace of a control plane.
var Tenants = []schema.GroupVersionKind{
	{Version: "v1", Kind: "PersistentVolumeClaim"},
	{Version: "v1", Kind: "Service"},
	{Version: "v1", Kind: "Pod"},
	{Version: "v1", Kind: "Secret"},
	{Version: "v1", Kind: "ConfigMap"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"},
	{Group: "networking.istio.io", Version: "v1alpha3", Kind: "EnvoyFilter"},
	{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"},
	{Group: "networking.istio.io", Version: "v1beta1", Kind: "ProxyConfig"},
	{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"},
	{Group: "networking.istio.io", Version: "v1", Kind: "Sidecar"},
	{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"},
	{Group: "networking.istio.io", Version: "v1", Kind: "WorkloadEntry"},
	{Group: "networking.istio.io", Version: "v1", Kind: "WorkloadGroup"},
	{Group: "security.istio.io", Version: "v1", Kind: "AuthorizationPolicy"},
	{Group: "security.istio.io", Version: "v1", Kind: "PeerAuthentication"},
	{Group: "security.istio.io", Version: "v1", Kind: "RequestAuthentication"},
	{Group: "telemetry.istio.io", Version: "v1", Kind: "Telemetry"},
	{Group: "extensions.istio.io", Version: "v1alpha1", Kind: "TrafficExtension"},
	{Group: "extensions.istio.io", Version: "v1alpha1", Kind: "WasmPlugin"},
}

// tenant returns the name of an object in a namespace that somebody else put
// there, or "".
func (r *Reconciler) tenant(ctx context.Context, namespace string) (string, error) {
	for _, kind := range Tenants {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := r.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(100))
		if absent(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("list %s in namespace %s: %w", kind.Kind, namespace, err)
		}
		for i := range list.Items {
			if object := &list.Items[i]; !furniture(kind.Kind, object) {
				return kind.Kind + " " + object.Name, nil
			}
		}
	}
	return "", nil
}

// furniture are objects that every namespace has, or that the mesh made.
func furniture(kind string, object *metav1.PartialObjectMetadata) bool {
	if object.DeletionTimestamp != nil || object.Labels[v1alpha1.LabelRevision] != "" || len(object.OwnerReferences) > 0 {
		return true
	}
	switch kind {
	case "ConfigMap":
		return object.Name == "kube-root-ca.crt" || object.Name == trust.ConfigMap
	case "Secret":
		return object.Name == authoritySecret
	}
	return false
}
