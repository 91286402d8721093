// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/istiooperator"
	"github.com/meshwright/meshwright/internal/revision"
)

const (
	// annotationSource on a MeshOperator names the IstioOperator that it is made
	// from, NAMESPACE/NAME. An owner reference cannot: an object of the cluster
	// has no owner in a namespace.
	annotationSource = "operator.meshwright.dev/istio-operator"
	// annotationIgnore with the value true is how Istio tells its operator to
	// leave an object alone; istioctl puts it on its record of what it installed.
	annotationIgnore = "install.istio.io/ignoreReconcile"
	// foreignFinalizer is that of Istio's own operator.
	foreignFinalizer = "istio-finalizer.install.istio.io"
)

// longestName is the longest name of an object.
const longestName = 253

// Name returns the name of the MeshOperator of an IstioOperator: NAMESPACE.NAME.
// A namespace has no dot, so no two have the same; what is too long ends in a
// digest.
func Name(of types.NamespacedName) string {
	name := of.Namespace + "." + of.Name
	if len(name) <= longestName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:longestName-17], ".-") + "-" + hex.EncodeToString(sum[:8])
}

// pausedBy returns the annotation that stops the operator for an object, if any.
func pausedBy(object client.Object) string {
	for _, name := range []string{v1alpha1.AnnotationPaused, annotationIgnore} {
		if object.GetAnnotations()[name] == "true" {
			return name
		}
	}
	return ""
}

// isForeign says whether Istio's own operator looks after an object.
func isForeign(object client.Object) bool {
	return slices.Contains(object.GetFinalizers(), foreignFinalizer) && object.GetAnnotations()[v1alpha1.AnnotationAdopt] != "true"
}

// claim returns the MeshOperator of an IstioOperator, nil when there is none
// yet. Whoever has a revision keeps it; of those that have none, the oldest
// gets it.
func (r *Reconciler) claim(ctx context.Context, object *unstructured.Unstructured, spec v1alpha1.MeshOperatorSpec) (*v1alpha1.MeshOperator, error) {
	mesh := &v1alpha1.MeshOperator{}
	err := r.Client.Get(ctx, types.NamespacedName{Name: Name(client.ObjectKeyFromObject(object))}, mesh)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read MeshOperator %s: %w", Name(client.ObjectKeyFromObject(object)), err)
	}
	if err == nil {
		if mesh.Annotations[annotationSource] != key(object) {
			return nil, conditions.Stall(v1alpha1.ReasonObjectConflict,
				"MeshOperator %s exists and was not made from this object; delete it, or put the annotation %s: %q on it to hand it over",
				mesh.Name, annotationSource, key(object))
		}
		if !mesh.DeletionTimestamp.IsZero() {
			return nil, conditions.Wait(v1alpha1.ReasonDeleting, 0, "MeshOperator %s is being deleted; it is created again when it is gone", mesh.Name)
		}
		return mesh, nil
	}
	return nil, r.free(ctx, object, revision.Name(spec))
}

// free fails when somebody else has a revision, or asked for it before.
func (r *Reconciler) free(ctx context.Context, object *unstructured.Unstructured, name string) error {
	const remedy = "choose another spec.revision, or delete that one"
	var meshes v1alpha1.MeshOperatorList
	if err := r.Client.List(ctx, &meshes); err != nil {
		return fmt.Errorf("list MeshOperators: %w", err)
	}
	for i := range meshes.Items {
		other := &meshes.Items[i]
		if revision.Name(other.Spec) != name {
			continue
		}
		if source := other.Annotations[annotationSource]; source != "" {
			return conditions.Stall(v1alpha1.ReasonRevisionConflict, "IstioOperator %s has the revision %s; %s", source, name, remedy)
		}
		return conditions.Stall(v1alpha1.ReasonRevisionConflict, "MeshOperator %s has the revision %s; %s", other.Name, name, remedy)
	}
	others, err := r.list(ctx)
	if err != nil {
		return err
	}
	for i := range others {
		other := &others[i]
		if other.GetUID() != object.GetUID() && waits(other) && istiooperator.Revision(specOf(other)) == name && older(other, object) {
			return conditions.Stall(v1alpha1.ReasonRevisionConflict, "IstioOperator %s is older and asks for the revision %s; %s", key(other), name, remedy)
		}
	}
	return nil
}

// waits says whether an IstioOperator is to be installed.
func waits(object client.Object) bool {
	return object.GetDeletionTimestamp() == nil && pausedBy(object) == "" && !isForeign(object)
}

// older says which of two comes first.
func older(a, b client.Object) bool {
	first, second := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	if !first.Equal(&second) {
		return first.Before(&second)
	}
	return key(a) < key(b)
}

func (r *Reconciler) list(ctx context.Context) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(newObject().GroupVersionKind())
	if err := r.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list IstioOperators: %w", err)
	}
	return list.Items, nil
}

// rivals returns every IstioOperator that a change of an IstioOperator or a
// MeshOperator concerns: the one that it is made from, and those of the same
// revision.
func (r *Reconciler) rivals(ctx context.Context, changed client.Object) []reconcile.Request {
	name, source := "", ""
	switch changed := changed.(type) {
	case *v1alpha1.MeshOperator:
		name, source = revision.Name(changed.Spec), changed.Annotations[annotationSource]
	case *unstructured.Unstructured:
		name = istiooperator.Revision(specOf(changed))
	}
	all, err := r.list(ctx)
	if err != nil {
		return nil
	}
	var out []reconcile.Request
	for i := range all {
		if other := &all[i]; key(other) == source || istiooperator.Revision(specOf(other)) == name {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(other)})
		}
	}
	return out
}

// apply writes the MeshOperator of an IstioOperator.
func (r *Reconciler) apply(ctx context.Context, object *unstructured.Unstructured, spec v1alpha1.MeshOperatorSpec) (*v1alpha1.MeshOperator, error) {
	content, err := contentOf(spec)
	if err != nil {
		return nil, err
	}
	wanted := &unstructured.Unstructured{Object: map[string]any{"spec": content}}
	wanted.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MeshOperator"))
	wanted.SetName(Name(client.ObjectKeyFromObject(object)))
	wanted.SetLabels(map[string]string{apply.LabelManagedBy: apply.Manager})
	wanted.SetAnnotations(map[string]string{annotationSource: key(object)})
	err = r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(wanted), client.FieldOwner(apply.Manager), client.ForceOwnership)
	if apierrors.IsInvalid(err) {
		return nil, conditions.Stall(v1alpha1.ReasonRejected, "%v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("apply MeshOperator %s: %w", wanted.GetName(), err)
	}
	mesh := &v1alpha1.MeshOperator{}
	data, err := wanted.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode MeshOperator %s: %w", wanted.GetName(), err)
	}
	if err := json.Unmarshal(data, mesh); err != nil {
		return nil, fmt.Errorf("decode MeshOperator %s: %w", wanted.GetName(), err)
	}
	return mesh, nil
}

// same says whether two specs say the same; a server may write JSON otherwise.
func same(a, b v1alpha1.MeshOperatorSpec) bool {
	first, err := contentOf(a)
	if err != nil {
		return false
	}
	second, err := contentOf(b)
	return err == nil && reflect.DeepEqual(first, second)
}

func contentOf(spec v1alpha1.MeshOperatorSpec) (map[string]any, error) {
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode MeshOperatorSpec: %w", err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("decode MeshOperatorSpec: %w", err)
	}
	return out, nil
}

// finalizersChanged lets changes of finalizers through: Istio's operator lets
// go of an object by its own.
type finalizersChanged struct{ predicate.Funcs }

// Update says whether the finalizers changed.
func (finalizersChanged) Update(e event.UpdateEvent) bool {
	return !slices.Equal(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers())
}
