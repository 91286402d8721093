// SPDX-License-Identifier: Apache-2.0

// Package installation puts the operator into a cluster and takes it out.
package installation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/health"
)

// poll is how often the cluster is asked while something is awaited.
const poll = 500 * time.Millisecond

// kindDefinition is the kind of definitions, which are shared and never
// taken from others.
const kindDefinition = "CustomResourceDefinition"

// Applied says what became of an object.
type Applied struct {
	// Name is KIND NAMESPACE/NAME.
	Name string
	// Created and Changed say whether the object is new or other than before.
	Created, Changed bool
	// LeftTo names who keeps a CustomResourceDefinition, which stays as it is.
	LeftTo string
}

// Apply applies the operator's objects in their order by server-side apply, as
// tool. A CustomResourceDefinition of which somebody else owns fields is left
// as it is; every other object is the operator's by name.
func Apply(ctx context.Context, c client.Client, tool string, objects []*unstructured.Unstructured, each func(Applied)) error {
	for _, object := range objects {
		done, err := put(ctx, c, tool, object)
		if err != nil {
			return fmt.Errorf("apply %s: %w", health.Name(object), err)
		}
		each(done)
	}
	return nil
}

func put(ctx context.Context, c client.Client, tool string, object *unstructured.Unstructured) (Applied, error) {
	done := Applied{Name: health.Name(object)}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(object), live)
	if err != nil && !apierrors.IsNotFound(err) {
		return done, err
	}
	done.Created = err != nil
	shared := object.GetKind() == kindDefinition
	if by := live.GetLabels()[apply.LabelManagedBy]; shared && !done.Created && by != "" && by != tool {
		done.LeftTo = by
		return done, nil
	}
	options := []client.ApplyOption{client.FieldOwner(tool)}
	if !shared {
		options = append(options, client.ForceOwnership)
	}
	sent := object.DeepCopy()
	err = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(sent), options...)
	if shared && apierrors.IsConflict(err) {
		done.LeftTo = "somebody else"
		return done, nil
	}
	done.Changed = sent.GetResourceVersion() != live.GetResourceVersion()
	return done, err
}

// Established waits until the definitions among objects are served.
func Established(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	missing := ""
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		missing = ""
		for _, object := range objects {
			if object.GetKind() != kindDefinition {
				continue
			}
			live := &unstructured.Unstructured{}
			live.SetGroupVersionKind(object.GroupVersionKind())
			if err := c.Get(ctx, client.ObjectKeyFromObject(object), live); err != nil {
				return false, err
			}
			report, err := health.Of(live)
			if err != nil {
				return false, err
			}
			if !report.Ready {
				missing = report.Message
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil && missing != "" {
		return fmt.Errorf("%s: %w", missing, err)
	}
	return err
}

// Remove deletes the operator's objects that tool installed, the last applied
// first, and returns the names of those that it left: definitions unless purge
// says otherwise, and what is not the tool's.
func Remove(ctx context.Context, c client.Client, tool string, objects []*unstructured.Unstructured, purge bool, each func(name string)) ([]string, error) {
	var left []string
	for _, object := range slices.Backward(objects) {
		name := health.Name(object)
		live := &metav1.PartialObjectMetadata{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		err := c.Get(ctx, client.ObjectKeyFromObject(object), live)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return left, fmt.Errorf("read %s: %w", name, err)
		}
		if live.Labels[apply.LabelManagedBy] != tool || object.GetKind() == kindDefinition && !purge {
			left = append(left, name)
			continue
		}
		err = c.Delete(ctx, live, client.Preconditions{UID: &live.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil && !apierrors.IsNotFound(err) {
			return left, fmt.Errorf("delete %s: %w", name, err)
		}
		each(name)
	}
	return left, nil
}

// Await waits until a Deployment serves, and says what is missing when the
// time is over.
func Await(ctx context.Context, c client.Client, key types.NamespacedName) error {
	missing := ""
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
		if err := c.Get(ctx, key, live); err != nil {
			return false, err
		}
		report, err := health.Of(live)
		missing = report.Message
		return report.Ready, err
	})
	if err != nil && missing != "" {
		return fmt.Errorf("%s: %w; kubectl -n %s describe pods says more", strings.TrimSuffix(missing, "."), err, key.Namespace)
	}
	return err
}
