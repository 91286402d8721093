// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/difference"
	"github.com/meshwright/meshwright/internal/cli/wanted"
	"github.com/meshwright/meshwright/internal/manifest"
	"github.com/meshwright/meshwright/internal/revision"
)

// installationPlan is what a mesh is installed as: MeshRevisions by name.
type installationPlan map[string]v1alpha1.MeshRevisionSpec

// diffLive says what the operator would change in the cluster: for a mesh that
// is there, what somebody else changed; for a wish, what it would make of it.
func (s *session) diffLive(ctx context.Context, w wanted.Source, args []string) ([]difference.Object, error) {
	c, config, err := s.connect()
	if err != nil {
		return nil, err
	}
	asker, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	version, platform, err := surroundings(ctx, c, asker)
	if err != nil {
		return nil, err
	}
	var plan installationPlan
	if wish := len(w.Files)+len(w.Set)+len(w.SetString) > 0 || w.Profile != "" || w.Revision != ""; wish {
		plan, err = s.planOfWish(ctx, c, w, args, platform)
	} else {
		plan, err = planOfLive(ctx, c, args)
	}
	if err != nil {
		return nil, err
	}
	loaded, err := meshCharts()
	if err != nil {
		return nil, err
	}
	var out []difference.Object
	for _, name := range slices.Sorted(maps.Keys(plan)) {
		spec := plan[name]
		rendered, err := manifest.Render(loaded, version, name, spec)
		if err != nil {
			return nil, err
		}
		changes, err := compare(ctx, c, name, spec, rendered)
		if err != nil {
			return nil, err
		}
		out = append(out, changes...)
	}
	return out, nil
}

// planOfLive returns the MeshRevisions of a mesh as they are.
func planOfLive(ctx context.Context, c client.Client, args []string) (installationPlan, error) {
	mesh, err := only(ctx, c, args)
	if err != nil {
		return nil, err
	}
	var list v1alpha1.MeshRevisionList
	if err := c.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list MeshRevisions: %w", err)
	}
	out := installationPlan{}
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], mesh) {
			out[list.Items[i].Name] = list.Items[i].Spec
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("MeshOperator %s has no MeshRevision yet; an operator makes it", mesh.Name)
	}
	return out, nil
}

// planOfWish returns what a wish would be installed as, with the images of the
// operator that is there.
func (s *session) planOfWish(ctx context.Context, c client.Client, w wanted.Source, args []string, platform revision.Platform) (installationPlan, error) {
	if len(args) > 0 {
		return nil, usage("manifest diff --live: give the name of a mesh, or -f and flags that say one")
	}
	mesh, err := s.read(w)
	if err != nil {
		return nil, err
	}
	if there, err := census.Operators(ctx, c); err == nil && len(there) == 1 {
		images, err := platformOf(ctx, c, there[0])
		if err != nil {
			return nil, err
		}
		images.Name = platform.Name
		platform = images
	}
	spec, err := resolve(mesh.Spec, platform)
	if err != nil {
		return nil, err
	}
	live := &v1alpha1.MeshOperator{}
	if err := c.Get(ctx, types.NamespacedName{Name: mesh.Name}, live); err == nil && len(live.Status.Revisions) > 1 {
		s.note("warning: MeshOperator %s has several control planes; this compares with a mesh that has one", mesh.Name)
	}
	return installationPlan{revision.Name(mesh.Spec): spec}, nil
}

// compare asks the API server what an apply of each object would make of it,
// without doing it (https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run).
func compare(ctx context.Context, c client.Client, name string, spec v1alpha1.MeshRevisionSpec, rendered manifest.Manifest) ([]difference.Object, error) {
	var out []difference.Object
	for _, object := range rendered.Definitions {
		live, err := liveOf(ctx, c, object)
		if err != nil {
			return nil, err
		}
		if live != nil {
			// One that somebody else looks after stays as it is.
			if owner, _, err := apply.ForeignDefinition(object, live); err != nil || owner != "" {
				continue
			}
		}
		if out, err = dryApply(ctx, c, object, live, out); err != nil {
			return nil, err
		}
	}
	missing := map[string]bool{}
	for _, namespace := range manifest.Namespaces(spec) {
		object := &unstructured.Unstructured{}
		object.SetAPIVersion("v1")
		object.SetKind("Namespace")
		object.SetName(namespace)
		live, err := liveOf(ctx, c, object)
		if err != nil {
			return nil, err
		}
		if live == nil {
			missing[namespace] = true
			out = append(out, difference.Objects(nil, []*unstructured.Unstructured{object})...)
		}
	}
	wanted := map[string]bool{}
	for _, o := range rendered.Objects {
		wanted[identityOf(o.Entry)] = true
		if missing[o.Entry.Namespace] {
			out = append(out, difference.Objects(nil, []*unstructured.Unstructured{o.Object})...)
			continue
		}
		live, err := liveOf(ctx, c, o.Object)
		if err != nil {
			return nil, err
		}
		if out, err = dryApply(ctx, c, o.Object, live, out); err != nil {
			return nil, err
		}
	}
	return unwanted(ctx, c, name, wanted, out)
}

func dryApply(ctx context.Context, c client.Client, object, live *unstructured.Unstructured, out []difference.Object) ([]difference.Object, error) {
	if live == nil {
		return append(out, difference.Objects(nil, []*unstructured.Unstructured{object})...), nil
	}
	sent := object.DeepCopy()
	complete(sent, live)
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(sent), client.FieldOwner(apply.Manager), client.ForceOwnership, client.DryRunAll)
	if err != nil {
		return out, fmt.Errorf("what would become of %s: %w", object.GetKind()+" "+object.GetName(), err)
	}
	return append(out, difference.Objects(
		[]*unstructured.Unstructured{difference.Own(live)}, []*unstructured.Unstructured{difference.Own(sent)})...), nil
}

// annotationAccount is in pod templates that the operator applies.
const annotationAccount = "operator.meshwright.dev/service-account-uid"

// complete adds to a Deployment what the operator adds when it applies one, and
// what is not rendered: the identity of its ServiceAccount, and of the mesh
// that owns what the control plane writes.
func complete(object, live *unstructured.Unstructured) {
	if object.GetKind() != "Deployment" {
		return
	}
	path := []string{"spec", "template", "metadata", "annotations", annotationAccount}
	if uid, ok, _ := unstructured.NestedString(live.Object, path...); ok {
		_ = unstructured.SetNestedField(object.Object, uid, path...)
	}
	containers := []string{"spec", "template", "spec", "containers"}
	have, _, _ := unstructured.NestedSlice(live.Object, containers...)
	want, _, _ := unstructured.NestedSlice(object.Object, containers...)
	if len(have) == 0 || len(want) == 0 {
		return
	}
	was, _ := have[0].(map[string]any)
	is, _ := want[0].(map[string]any)
	before, _, _ := unstructured.NestedStringSlice(was, "args")
	after, _, _ := unstructured.NestedStringSlice(is, "args")
	for i, arg := range before {
		if strings.HasPrefix(arg, "--owner=") && i <= len(after) {
			// It takes the place of what holds without a MeshOperator.
			after = slices.DeleteFunc(after, func(rendered string) bool { return strings.HasPrefix(rendered, "--cluster-role=") })
			after = slices.Insert(after, i, arg)
			_ = unstructured.SetNestedStringSlice(is, after, "args")
			_ = unstructured.SetNestedSlice(object.Object, want, containers...)
			return
		}
	}
}

// unwanted adds what the operator would delete: the inventory's objects that
// are rendered no longer.
func unwanted(ctx context.Context, c client.Client, name string, wanted map[string]bool, out []difference.Object) ([]difference.Object, error) {
	live := &v1alpha1.MeshRevision{}
	err := c.Get(ctx, types.NamespacedName{Name: name}, live)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("read MeshRevision %s: %w", name, err)
	}
	for _, entry := range live.Status.Inventory {
		if !wanted[identityOf(entry)] && entry.Digest != "" {
			out = append(out, difference.Object{Operation: difference.Removed, Kind: entry.Kind, Namespace: entry.Namespace, Name: entry.Name})
		}
	}
	return out, nil
}

// identityOf names an object whatever its version.
func identityOf(e v1alpha1.InventoryEntry) string {
	return strings.Join([]string{e.Group, e.Kind, e.Namespace, e.Name}, "|")
}

// liveOf returns an object as it is in the cluster, or nil.
func liveOf(ctx context.Context, c client.Client, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := c.Get(ctx, client.ObjectKeyFromObject(object), live)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return live, nil
}
