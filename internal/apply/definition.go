// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"slices"

	"github.com/Masterminds/semver/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/health"
)

// Labels that tell who looks after a CustomResourceDefinition, and for which
// version (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/).
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelVersion   = "app.kubernetes.io/version"
)

// Definition says what became of a CustomResourceDefinition.
type Definition struct {
	// Missing is empty when the definition is established.
	Missing string
	// Changed is true when it was created or changed.
	Changed bool
	// Drifted is true when it was changed back: the same manifest was applied before.
	Drifted bool
	// Foreign names who looks after it, when that is not the operator: the
	// definition is then left as it is.
	Foreign string
	// Lacking are versions that a foreign definition does not serve and the
	// control plane needs.
	Lacking []string
}

// Define applies a CustomResourceDefinition. Definitions are shared: one that
// somebody else installed, or a newer operator, is left alone.
func (a *Applier) Define(ctx context.Context, object *unstructured.Unstructured) (Definition, error) {
	digest, err := Digest(object)
	if err != nil {
		return Definition{}, err
	}
	seen := &metav1.PartialObjectMetadata{}
	seen.SetGroupVersionKind(object.GroupVersionKind())
	err = a.Client.Get(ctx, client.ObjectKeyFromObject(object), seen)
	if err != nil && !apierrors.IsNotFound(err) {
		return Definition{}, fmt.Errorf("read %s: %w", health.Name(object), err)
	}
	if err == nil && a.seen.has(object, seen.ResourceVersion, digest) {
		return Definition{}, nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err = a.Reader.Get(ctx, client.ObjectKeyFromObject(object), live)
	if err != nil && !apierrors.IsNotFound(err) {
		return Definition{}, fmt.Errorf("read %s: %w", health.Name(object), err)
	}
	if err == nil {
		if owner := keeper(object, live); owner != "" {
			return foreign(object, live, owner)
		}
	}
	return a.define(ctx, object, live, digest)
}

func (a *Applier) define(ctx context.Context, object, live *unstructured.Unstructured, digest string) (Definition, error) {
	known := a.seen.knows(object, digest)
	sent, bridge, err := bridged(object, live)
	if err != nil {
		return Definition{}, err
	}
	if err := a.patch(ctx, sent, true); err != nil {
		return Definition{}, fmt.Errorf("apply %s: %w", health.Name(object), err)
	}
	report, err := health.Of(sent)
	if err != nil {
		return Definition{}, err
	}
	if report.Ready {
		report.Message, err = a.restore(ctx, sent)
		if err != nil {
			return Definition{}, err
		}
	}
	if report.Message == "" && !bridge {
		a.seen.put(object, sent.GetResourceVersion(), digest)
	}
	changed := live.GetResourceVersion() != sent.GetResourceVersion()
	return Definition{Missing: report.Message, Changed: changed, Drifted: changed && known}, nil
}

// keeper returns who else looks after the live definition, or "".
func keeper(object, live *unstructured.Unstructured) string {
	mine, theirs := object.GetLabels(), live.GetLabels()
	if theirs[LabelManagedBy] != mine[LabelManagedBy] && live.GetAnnotations()[v1alpha1.AnnotationAdopt] != "true" {
		if theirs[LabelManagedBy] == "" {
			return "somebody else"
		}
		return theirs[LabelManagedBy]
	}
	ours, err := semver.NewVersion(mine[LabelVersion])
	if err != nil {
		return ""
	}
	if newer, err := semver.NewVersion(theirs[LabelVersion]); err == nil && newer.GreaterThan(ours) {
		return "a newer operator (" + theirs[LabelVersion] + ")"
	}
	return ""
}

func foreign(object, live *unstructured.Unstructured, owner string) (Definition, error) {
	report, err := health.Of(live)
	if err != nil {
		return Definition{}, err
	}
	out := Definition{Missing: report.Message, Foreign: owner}
	var wanted, given apiextensionsv1.CustomResourceDefinition
	for source, target := range map[*unstructured.Unstructured]*apiextensionsv1.CustomResourceDefinition{object: &wanted, live: &given} {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(source.Object, target); err != nil {
			return Definition{}, fmt.Errorf("read %s: %w", health.Name(source), err)
		}
	}
	for _, version := range wanted.Spec.Versions {
		served := slices.ContainsFunc(given.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
			return v.Name == version.Name && v.Served
		})
		if version.Storage && !served {
			out.Lacking = append(out.Lacking, version.Name)
		}
	}
	return out, nil
}
