// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// The three things that people delete when they want to be rid of a mesh.
const (
	theMesh      = "MeshOperator"
	theOperator  = "operator"
	theNamespace = "namespace"
)

// hangLimit is how long a deletion may take to return. It is far below the patience of the operator.
const hangLimit = time.Minute

// TestRemovalOrders installs a mesh and deletes the MeshOperator, the operator and the namespace of the control plane,
// in each of the six orders. Whatever the order, no deletion hangs, the cluster is then as it was before, but for the
// definitions, and the mesh can be installed again.
func TestRemovalOrders(t *testing.T) {
	ctx := t.Context()
	must(t, cluster.UninstallOperator())
	must(t, cluster.MakeNamespace(ctx, env.OperatorNamespace, nil))
	must(t, cluster.DeleteNamespace(ctx, hangLimit, env.MeshNamespace))
	before := settled(t)
	for _, order := range [][]string{
		{theMesh, theOperator, theNamespace},
		{theMesh, theNamespace, theOperator},
		{theOperator, theMesh, theNamespace},
		{theOperator, theNamespace, theMesh},
		{theNamespace, theMesh, theOperator},
		{theNamespace, theOperator, theMesh},
	} {
		t.Run(strings.Join(order, "-"), func(t *testing.T) {
			start := time.Now()
			mesh := reinstall(t)
			ready := time.Since(start)
			if less := missing(before, settled(t)); len(less) < 20 {
				t.Fatalf("an installed mesh adds %v: the list of what to compare is wrong", less)
			}
			start = time.Now()
			for _, what := range order {
				remove(t, what, mesh)
			}
			must(t, env.Eventually(ctx, podLimit, "the cluster as it was before", func(ctx context.Context) error {
				after, going, err := inventory(ctx)
				if err != nil {
					return err
				}
				more, less := missing(before, after), missing(after, before)
				if len(more)+len(less)+len(going) > 0 {
					return fmt.Errorf("left over: %v; lost: %v; being deleted: %v", more, less, going)
				}
				return nil
			}))
			t.Logf("installed in %.0f s, removed in %.0f s, and nothing left of it among %d objects", ready.Seconds(), time.Since(start).Seconds(), len(before))
		})
	}
	reinstall(t)
	must(t, removeMeshes(ctx))
	must(t, cluster.UninstallOperator())
}

// reinstall installs the operator and the sample, and returns the MeshOperator's name.
func reinstall(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	manifest, err := os.ReadFile(meshManifest)
	must(t, err)
	must(t, cluster.InstallOperator(ctx, installLimit, operatorChart))
	name, err := cluster.ApplyMesh(ctx, manifest)
	must(t, err)
	_, err = cluster.WaitMesh(ctx, installLimit, name)
	must(t, err)
	m, err := mesh(ctx)
	must(t, err)
	var steps []string
	for _, c := range m.Status.Conditions {
		steps = append(steps, fmt.Sprintf("%s %.0f s", c.Type, c.LastTransitionTime.Sub(m.CreationTimestamp.Time).Seconds()))
	}
	t.Logf("True since the MeshOperator was made: %s", strings.Join(steps, ", "))
	return name
}

func remove(t *testing.T, what, mesh string) {
	t.Helper()
	ctx := t.Context()
	switch what {
	case theMesh:
		r, err := cluster.Resource(ctx, env.MeshOperator, "")
		must(t, err)
		must(t, r.Delete(ctx, mesh, metav1.DeleteOptions{}))
		must(t, cluster.WaitGone(ctx, hangLimit, env.MeshOperator, "", mesh))
	case theOperator:
		must(t, cluster.UninstallOperator())
		must(t, cluster.WaitNoPods(ctx, hangLimit, env.OperatorNamespace, operatorSelector))
	case theNamespace:
		namespaces := cluster.Kube.CoreV1().Namespaces()
		old, err := namespaces.Get(ctx, env.MeshNamespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return // The operator had made it, and took it away again.
		}
		must(t, err)
		if err := namespaces.Delete(ctx, env.MeshNamespace, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			must(t, err)
		}
		must(t, env.Eventually(ctx, hangLimit, "the end of namespace "+env.MeshNamespace, func(ctx context.Context) error {
			now, err := namespaces.Get(ctx, env.MeshNamespace, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err == nil && now.UID == old.UID {
				err = fmt.Errorf("it is still there: %v", now.Status.Conditions)
			}
			return err
		}))
	}
}

// settled returns the objects of the cluster once none of them is on its way out.
func settled(t *testing.T) []string {
	t.Helper()
	var out []string
	must(t, env.Eventually(t.Context(), podLimit, "nothing being deleted", func(ctx context.Context) error {
		all, going, err := inventory(ctx)
		if err == nil && len(going) > 0 {
			err = fmt.Errorf("being deleted: %v", going)
		}
		out = all
		return err
	}))
	return out
}

// inventory lists every object of every kind that can be listed, as RESOURCE.GROUP NAMESPACE/NAME, and those that are
// being deleted.
func inventory(ctx context.Context) (all, going []string, err error) {
	lists, err := cluster.Kube.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, nil, fmt.Errorf("list the kinds: %w", err)
	}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, nil, fmt.Errorf("read the group %s: %w", list.GroupVersion, err)
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || comesAndGoes(version.Group, r.Name) {
				continue
			}
			found, err := cluster.Dynamic.Resource(version.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue // A definition that has just gone, or been made.
			}
			if err != nil {
				return nil, nil, fmt.Errorf("list %s: %w", r.Name, err)
			}
			for i := range found.Items {
				object := &found.Items[i]
				name := r.Name + "." + version.Group + " " + object.GetNamespace() + "/" + object.GetName()
				if object.GetDeletionTimestamp() != nil {
					going = append(going, name)
				}
				if !ofCluster(version.Group, r.Name, object.GetNamespace()) {
					all = append(all, name)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), going, nil
}

// comesAndGoes are kinds of which Kubernetes makes objects all the time, and the definitions with what follows from
// them, which stay.
func comesAndGoes(group, resource string) bool {
	return resource == "events" || resource == "componentstatuses" || group == "apiextensions.k8s.io" || group == "apiregistration.k8s.io" || group == "metrics.k8s.io"
}

// ofCluster are the objects by which the nodes and controllers of the cluster itself work.
func ofCluster(group, resource, namespace string) bool {
	if namespace != "kube-system" && namespace != "kube-node-lease" {
		return false
	}
	return group == "coordination.k8s.io" || resource == "pods"
}

// missing returns what is in b and not in a.
func missing(a, b []string) []string {
	var out []string
	for _, name := range b {
		if _, found := slices.BinarySearch(a, name); !found {
			out = append(out, name)
		}
	}
	return out
}
