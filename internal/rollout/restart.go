// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
)

// Restart writes the annotation of a workload's pod template, which replaces
// its pods, and remembers what it was. An empty mark removes it: then the pods
// that it had before take over again, where they are still there. A nil before
// forgets what it was.
func Restart(ctx context.Context, c client.Client, manager string, w placement.Workload, mark string, before *string) error {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(w.Kind))
	object.Namespace, object.Name = w.Namespace, w.Name
	patch, err := json.Marshal(map[string]any{
		"metadata": annotation(v1alpha1.AnnotationProxyRevisionBefore, before),
		"spec":     map[string]any{"template": map[string]any{"metadata": annotation(v1alpha1.AnnotationProxyRevision, some(mark))}},
	})
	if err != nil {
		return fmt.Errorf("encode the restart of %s: %w", w, err)
	}
	err = c.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(manager))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("restart %s: %w", w, err)
	}
	return nil
}

func annotation(name string, value *string) map[string]any {
	return map[string]any{"annotations": map[string]any{name: value}}
}

// some is nil for an empty text, which a merge patch takes as removal.
func some(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
