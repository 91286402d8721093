// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/health"
)

// rewriteChunk is how many objects are written again in one go; the rest is left to the next.
const rewriteChunk = 250

// cursors remembers how far the objects of each definition were written again. A process that starts anew begins anew,
// which costs time and harms nothing.
type cursors struct {
	mu   sync.Mutex
	next map[string]cursor
}

type cursor struct {
	token   string
	written int
}

func (c *cursors) get(name string) cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next[name]
}

// set remembers a cursor, or forgets it when there is no token.
func (c *cursors) set(name string, at cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = map[string]cursor{}
	}
	delete(c.next, name)
	if at.token != "" {
		c.next[name] = at
	}
}

// bridged returns what is to be applied in place of a definition that no longer has a version in which objects are
// still stored: the API server refuses that one. The bridge has these versions as well, and stores as the definition does.
func bridged(object, live *unstructured.Unstructured) (*unstructured.Unstructured, bool, error) {
	wanted, err := readDefinition(object)
	if err != nil {
		return nil, false, err
	}
	given, err := readDefinition(live)
	if err != nil {
		return nil, false, err
	}
	before, _, err := unstructured.NestedSlice(live.Object, "spec", "versions")
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", health.Name(live), err)
	}
	out := object.DeepCopy()
	versions, _, err := unstructured.NestedSlice(out.Object, "spec", "versions")
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", health.Name(object), err)
	}
	needed := len(versions)
	for _, stored := range given.Status.StoredVersions {
		if slices.ContainsFunc(wanted.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == stored }) {
			continue
		}
		for _, version := range before {
			fields, ok := version.(map[string]any)
			if ok && fields["name"] == stored {
				fields["storage"] = false
				versions = append(versions, fields)
			}
		}
	}
	if len(versions) == needed {
		return out, false, nil
	}
	return out, true, unstructured.SetNestedSlice(out.Object, versions, "spec", "versions")
}

// restore writes objects that are stored in another version than that of the live definition again, and then takes
// those versions off the definition's status (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#upgrade-existing-objects-to-a-new-stored-version).
// It returns what there is still to do, or "".
func (a *Applier) restore(ctx context.Context, live *unstructured.Unstructured) (string, error) {
	definition, err := readDefinition(live)
	if err != nil {
		return "", err
	}
	storage := ""
	for _, v := range definition.Spec.Versions {
		if v.Storage {
			storage = v.Name
		}
	}
	old := slices.DeleteFunc(slices.Clone(definition.Status.StoredVersions), func(v string) bool { return v == storage })
	if len(old) == 0 {
		return "", nil
	}
	kind := schema.GroupVersionKind{Group: definition.Spec.Group, Version: storage, Kind: definition.Spec.Names.Kind}
	at, err := a.rewrite(ctx, kind, a.cursors.get(definition.Name))
	a.cursors.set(definition.Name, at)
	if err != nil {
		return "", err
	}
	if at.token != "" {
		return fmt.Sprintf("%s: %d objects that were stored as %s are written again as %s so far", health.Name(live), at.written, strings.Join(old, ", "), storage), nil
	}
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"status":{"storedVersions":[%q]}}`, definition.ResourceVersion, storage)
	err = a.Client.Status().Patch(ctx, live.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
	if err != nil && !apierrors.IsConflict(err) {
		return "", fmt.Errorf("take %s off the stored versions of %s: %w", strings.Join(old, ", "), health.Name(live), err)
	}
	return health.Name(live) + ": its objects are stored as " + storage + " now", nil
}

// rewrite writes the objects of a chunk as they are, which stores them in the present version. It returns where to go on;
// no token means that all are written.
func (a *Applier) rewrite(ctx context.Context, kind schema.GroupVersionKind, at cursor) (cursor, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	err := a.Reader.List(ctx, list, client.Limit(rewriteChunk), client.Continue(at.token))
	if apierrors.IsResourceExpired(err) {
		return cursor{}, fmt.Errorf("list %s again from the beginning: %w", kind.Kind, err)
	}
	if err != nil {
		return at, fmt.Errorf("list %s: %w", kind.Kind, err)
	}
	for i := range list.Items {
		object := &list.Items[i]
		object.SetGroupVersionKind(kind)
		err := a.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte("{}")), client.FieldOwner(Manager))
		if client.IgnoreNotFound(err) != nil {
			return at, fmt.Errorf("write %s %s/%s again: %w", kind.Kind, object.Namespace, object.Name, err)
		}
	}
	return cursor{token: list.Continue, written: at.written + len(list.Items)}, nil
}

func readDefinition(object *unstructured.Unstructured) (*apiextensionsv1.CustomResourceDefinition, error) {
	out := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, out); err != nil {
		return nil, fmt.Errorf("read %s: %w", health.Name(object), err)
	}
	return out, nil
}
