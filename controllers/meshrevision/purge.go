// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"fmt"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/manifest"
)

// annotationHastened is written once in hastening to a definition that is on its way out.
const (
	annotationHastened = "operator.meshwright.dev/hastened"
	hastening          = 5 * time.Second
)

// purge deletes the definitions of the mesh's APIs, and with them every object of their kinds, when the MeshOperator
// asked for it and no other control plane is left. Definitions that somebody else looks after stay. It waits until the API
// server has deleted the objects.
func (r *Reconciler) purge(ctx context.Context, revision *v1alpha1.MeshRevision, others int) error {
	if revision.Spec.DeletionPolicy != v1alpha1.DeletionPurge || others > 0 {
		return nil
	}
	rendered, err := manifest.Render(r.Charts, r.KubeVersion, revision.Name, revision.Spec)
	if err != nil {
		return fmt.Errorf("list what is to be purged: %w", err)
	}
	var left []string
	for _, wanted := range rendered.Definitions {
		found := &metav1.PartialObjectMetadata{}
		found.SetGroupVersionKind(definitionKind)
		err := r.Reader.Get(ctx, client.ObjectKeyFromObject(wanted), found)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read CustomResourceDefinition %s: %w", wanted.GetName(), err)
		}
		if found.Labels[apply.LabelManagedBy] != apply.Manager {
			continue
		}
		left = append(left, wanted.GetName())
		if found.DeletionTimestamp != nil {
			if err := r.hasten(ctx, found); err != nil {
				return err
			}
			continue
		}
		err = r.Client.Delete(ctx, found, client.Preconditions{UID: &found.UID})
		if err != nil && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
			return fmt.Errorf("delete CustomResourceDefinition %s: %w", wanted.GetName(), err)
		}
	}
	if len(left) > 0 {
		return conditions.Wait(v1alpha1.ReasonDeleting, time.Second,
			"waiting for the API server to delete the objects of %s", summarize(left))
	}
	return nil
}

// hasten lets the API server try again to delete a definition: when the storage of the kind was just being made anew,
// it waits longer after each try, unless the definition changes.
func (r *Reconciler) hasten(ctx context.Context, definition *metav1.PartialObjectMetadata) error {
	before := definition.DeepCopy()
	annotations := map[string]string{}
	maps.Copy(annotations, definition.Annotations)
	annotations[annotationHastened] = time.Now().UTC().Truncate(hastening).Format(time.RFC3339)
	definition.Annotations = annotations
	if err := r.Client.Patch(ctx, definition, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("hasten the end of CustomResourceDefinition %s: %w", definition.Name, err)
	}
	return nil
}
