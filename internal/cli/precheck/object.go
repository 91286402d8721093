// SPDX-License-Identifier: Apache-2.0

package precheck

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
)

// definitions looks for CustomResourceDefinitions that somebody else looks after.
func definitions(ctx context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	var out []Finding
	kept := map[string][]string{}
	var owners []string
	for _, object := range plan.Mesh.Definitions {
		live, err := get(ctx, cluster.Client, object)
		if err != nil {
			return out, err
		}
		if live == nil {
			continue
		}
		if live.GetDeletionTimestamp() != nil {
			out = append(out, going(live))
			continue
		}
		owner, lacking, err := apply.ForeignDefinition(object, live)
		if err != nil {
			return out, err
		}
		switch {
		case len(lacking) > 0:
			out = append(out, Finding{
				Level: Error, Object: name(live),
				Problem: fmt.Sprintf("it belongs to %s and does not serve version %s, which the control plane reads", owner, strings.Join(lacking, ", ")),
				Remedy:  "upgrade it there, or delete it with its objects so that the operator installs its own",
			})
		case owner != "":
			if kept[owner] == nil {
				owners = append(owners, owner)
			}
			kept[owner] = append(kept[owner], live.GetName())
		}
	}
	for _, owner := range owners {
		out = append(out, Finding{
			Level: Info, Object: fmt.Sprintf("%d CustomResourceDefinitions", len(kept[owner])),
			Problem: fmt.Sprintf("%s belong to %s; they are used as they are", some(kept[owner]), owner),
			Remedy:  "keep them up to date there",
		})
	}
	return out, nil
}

// objects looks for objects of the same name that belong to somebody else.
func objects(ctx context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	var out []Finding
	for _, o := range plan.Mesh.Objects {
		live, err := get(ctx, cluster.Client, o.Object)
		if err != nil {
			return out, err
		}
		if live == nil {
			continue
		}
		if owner := apply.Foreign(o.Object, live); owner != "" {
			out = append(out, Finding{
				Level: Error, Object: name(live), Problem: "it exists already and belongs to " + owner,
				Remedy: "delete it, set the annotation " + v1alpha1.AnnotationAdopt + "=true on it to hand it over, or choose another name or revision",
			})
		}
	}
	return out, nil
}

// get returns a live object, or nil when there is none or no such kind yet.
func get(ctx context.Context, c client.Client, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(object), live)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name(object), err)
	}
	return live, nil
}

func going(object *unstructured.Unstructured) Finding {
	return Finding{
		Level: Error, Object: name(object), Problem: "it is being deleted",
		Remedy: "wait until it is gone; kubectl describe says what holds it: objects of its own, or finalizers whose controllers are gone",
	}
}

func name(object *unstructured.Unstructured) string {
	return object.GetKind() + " " + strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/")
}
