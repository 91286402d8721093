// SPDX-License-Identifier: Apache-2.0

// Package rootca puts the mesh's root certificates as a ConfigMap into every namespace, for the pods there to mount.
package rootca

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/meshwright/meshwright/internal/trust"
)

// fieldManager owns the key and the labels.
const fieldManager = "meshwright-controlplane"

// workers is how many namespaces are written at once; a cluster with thousands is done in seconds.
const workers = 4

const msgWritten = "wrote the root certificates"

// skipped are the cluster's own namespaces, whose pods are never in the mesh.
var skipped = []string{"kube-system", "kube-public", "kube-node-lease"}

// Reconciler writes one namespace's ConfigMap. It may run on every replica, since all
// write the same.
type Reconciler struct {
	Client client.Client
	// Root is the PEM with the roots.
	Root []byte
	// Owner is that with which the ConfigMaps go; nil lets them stay for ever.
	Owner Owner
}

// SetupWithManager watches namespaces and the ConfigMaps of this name. The manager's cache should hold only those
// ConfigMaps.
func (r *Reconciler) SetupWithManager(mgr manager.Manager) error {
	toNamespace := func(_ context.Context, o client.Object) []reconcile.Request {
		if o.GetName() != trust.ConfigMap {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: o.GetNamespace()}}}
	}
	err := builder.ControllerManagedBy(mgr).Named("rootca").
		For(&corev1.Namespace{}).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(toNamespace)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, NeedLeaderElection: new(false)}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up controller rootca: %w", err)
	}
	return nil
}

// Reconcile writes the ConfigMap when it is missing or differs.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if slices.Contains(skipped, request.Name) {
		return reconcile.Result{}, nil
	}
	var namespace corev1.Namespace
	if err := r.Client.Get(ctx, request.NamespacedName, &namespace); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if namespace.DeletionTimestamp != nil || namespace.Status.Phase == corev1.NamespaceTerminating {
		return reconcile.Result{}, nil
	}
	var found corev1.ConfigMap
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: request.Name, Name: trust.ConfigMap}, &found)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("read configmap %s/%s: %w", request.Name, trust.ConfigMap, err)
	}
	owners, owned, failure := r.owners(ctx, found.OwnerReferences)
	if failure != nil {
		return reconcile.Result{}, failure
	}
	if err == nil && found.Data[trust.Key] == string(r.Root) && owned {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.write(ctx, request.Name, owners)
}

func (r *Reconciler) write(ctx context.Context, namespace string, owners []*applymetav1.OwnerReferenceApplyConfiguration) error {
	want := applyv1.ConfigMap(trust.ConfigMap, namespace).
		WithLabels(map[string]string{"app.kubernetes.io/part-of": "meshwright", "app.kubernetes.io/managed-by": fieldManager}).
		WithOwnerReferences(owners...).
		WithData(map[string]string{trust.Key: string(r.Root)})
	err := r.Client.Apply(ctx, want, client.FieldOwner(fieldManager), client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		// The namespace went away in between; nothing there needs the root any more.
		return nil
	}
	if err != nil {
		return fmt.Errorf("write configmap %s/%s: %w", namespace, trust.ConfigMap, err)
	}
	log.FromContext(ctx).V(1).Info(msgWritten, "namespace", namespace)
	return nil
}
