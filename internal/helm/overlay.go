// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// OverlayError says which overlay cannot be applied, and why.
type OverlayError struct {
	// Index is the overlay's place in spec.overlays.
	Index   int
	Message string
}

// Error names the overlay by its field path.
func (e *OverlayError) Error() string {
	return fmt.Sprintf("spec.overlays[%d]: %s", e.Index, e.Message)
}

// Overlay changes objects in place, in the order of overlays. An overlay must
// match an object, and must not rename it. It fails with an OverlayError.
func Overlay(objects []*unstructured.Unstructured, overlays []v1alpha1.Overlay) error {
	for i, o := range overlays {
		matched := false
		for _, object := range objects {
			if object.GetKind() != o.Kind || object.GetName() != o.Name || (o.Namespace != "" && object.GetNamespace() != o.Namespace) {
				continue
			}
			matched = true
			if err := patch(object, o); err != nil {
				return &OverlayError{Index: i, Message: err.Error()}
			}
		}
		if !matched {
			return &OverlayError{Index: i, Message: fmt.Sprintf("no object %s %s is installed; kind and name must be those of an installed object", o.Kind, o.Name)}
		}
	}
	return nil
}

func patch(object *unstructured.Unstructured, o v1alpha1.Overlay) error {
	before, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	after, err := patched(object, before, o)
	if err != nil {
		return err
	}
	changed := &unstructured.Unstructured{}
	if err := changed.UnmarshalJSON(after); err != nil {
		return fmt.Errorf("the result is not an object: %w", err)
	}
	if changed.GroupVersionKind() != object.GroupVersionKind() || changed.GetName() != object.GetName() || changed.GetNamespace() != object.GetNamespace() {
		return fmt.Errorf("an overlay must not change apiVersion, kind, name or namespace")
	}
	object.Object = changed.Object
	return nil
}

func patched(object *unstructured.Unstructured, before []byte, o v1alpha1.Overlay) ([]byte, error) {
	if o.Patch != nil {
		// A kind that Kubernetes knows has merge keys for its lists.
		if known, err := scheme.Scheme.New(object.GroupVersionKind()); err == nil {
			after, err := strategicpatch.StrategicMergePatch(before, o.Patch.Raw, known)
			if err != nil {
				return nil, fmt.Errorf("strategic merge patch: %w", err)
			}
			return after, nil
		}
		after, err := jsonpatch.MergePatch(before, o.Patch.Raw)
		if err != nil {
			return nil, fmt.Errorf("merge patch: %w", err)
		}
		return after, nil
	}
	operations, err := json.Marshal(o.JSONPatch)
	if err != nil {
		return nil, err
	}
	decoded, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		return nil, fmt.Errorf("json patch: %w", err)
	}
	after, err := decoded.Apply(before)
	if err != nil {
		return nil, fmt.Errorf("json patch: %w", err)
	}
	return after, nil
}
