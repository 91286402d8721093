// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/installation"
	"github.com/meshwright/meshwright/internal/cli/progress"
	"github.com/meshwright/meshwright/internal/revision"
)

// uninstalling are the flags of uninstall.
type uninstalling struct {
	waiting
	purge, operator, yes bool
}

func newUninstall(s *session) *cobra.Command {
	u := uninstalling{}
	c := &cobra.Command{
		Use: "uninstall [NAME...]", Short: "Removes meshes, and the operator if that is asked for",
		Long: `Removes the meshes of the given names, or all, and waits until they are gone.

What depends on them is shown, and nothing is done before a question is answered. The definitions (CRDs) of the mesh's kinds stay, with the objects of
these kinds, unless --purge says otherwise. With --operator the operator goes, too, if meshctl installed it and no mesh is left.`,
		Example: "  meshctl uninstall\n  meshctl uninstall blue -y\n  meshctl uninstall --purge --operator",
		RunE:    func(c *cobra.Command, args []string) error { return s.uninstall(c.Context(), u, args) },
	}
	waitFlags(c, &u.waiting)
	f := c.Flags()
	f.BoolVar(&u.purge, "purge", false, "remove the definitions of the mesh's kinds as well, with all objects of these kinds, and what else the mesh keeps")
	f.BoolVar(&u.operator, "operator", false, "remove the operator, too")
	f.BoolVarP(&u.yes, "yes", "y", false, "do not ask")
	return c
}

// meshes lists the MeshOperators of a cluster; one that does not know the kind
// has none.
func meshes(ctx context.Context, c client.Client) ([]v1alpha1.MeshOperator, error) {
	var list v1alpha1.MeshOperatorList
	if err := c.List(ctx, &list); err != nil {
		if census.Unknown(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list MeshOperators: %w", err)
	}
	return list.Items, nil
}

func (s *session) uninstall(ctx context.Context, u uninstalling, args []string) error {
	c, _, err := s.connect()
	if err != nil {
		return err
	}
	all, err := meshes(ctx, c)
	if err != nil {
		return err
	}
	chosen, err := choose(all, args)
	if err != nil {
		return err
	}
	operators, err := census.Operators(ctx, c)
	if err != nil {
		return err
	}
	if u.operator {
		if err := removable(operators, len(all)-len(chosen)); err != nil {
			return err
		}
	}
	if len(chosen) == 0 && !u.operator {
		s.note("there is no mesh in this cluster")
		return nil
	}
	if err := s.announce(ctx, c, chosen, operators, u); err != nil {
		return err
	}
	if !u.yes {
		if err := s.confirm("Remove this?"); err != nil {
			return err
		}
	}
	if u.purge {
		if err := purge(ctx, c, chosen); err != nil {
			return err
		}
	}
	teller := &progress.Teller{Out: s.Err, Began: time.Now()}
	if err := s.removeMeshes(ctx, c, chosen, u, teller); err != nil {
		return err
	}
	if !u.operator || len(operators) == 0 {
		return nil
	}
	return s.removeOperator(ctx, c, u)
}

// choose returns the meshes of the given names, or all.
func choose(all []v1alpha1.MeshOperator, wanted []string) ([]v1alpha1.MeshOperator, error) {
	for _, name := range wanted {
		if !slices.Contains(names(all), name) {
			return nil, fmt.Errorf("there is no MeshOperator %s; there are: %s", name, strings.Join(names(all), ", "))
		}
	}
	var out []v1alpha1.MeshOperator
	for i := range all {
		if len(wanted) > 0 && !slices.Contains(wanted, all[i].Name) {
			continue
		}
		if source := all[i].Annotations[annotationSource]; source != "" {
			namespace, name, _ := strings.Cut(source, "/")
			return nil, fmt.Errorf("MeshOperator %s is made from an IstioOperator, which would make it again; delete that one: kubectl -n %s delete istiooperator %s",
				all[i].Name, namespace, name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// removable says why the operator cannot go.
func removable(operators []census.Operator, meshesLeft int) error {
	if meshesLeft > 0 {
		return fmt.Errorf("%s would be left without an operator; uninstall all meshes, or keep it", plural(meshesLeft, "mesh"))
	}
	for _, o := range operators {
		if o.InstalledBy != fieldManager {
			return fmt.Errorf("the operator %s/%s was installed by %s; remove it by that, when no mesh is left", o.Namespace, o.Name, o.InstalledBy)
		}
	}
	return nil
}

// announce says what will go, and what depends on it.
func (s *session) announce(ctx context.Context, c client.Client, chosen []v1alpha1.MeshOperator, operators []census.Operator, u uninstalling) error {
	var revisions []string
	for i := range chosen {
		m := &chosen[i]
		s.note("MeshOperator %s, revision %s", m.Name, revision.Name(m.Spec))
		revisions = append(revisions, revisionsOf(m)...)
		for _, g := range m.Status.Gateways {
			s.note("  its gateway %s/%s %s", g.Namespace, g.Name, strings.Join(g.Addresses, ", "))
		}
	}
	if u.operator {
		for _, o := range operators {
			s.note("operator %s/%s", o.Namespace, o.Name)
		}
	}
	if u.purge {
		s.note("warning: --purge deletes the definitions of the mesh's kinds, and with them every VirtualService, Gateway, policy and so on in this cluster")
	}
	serving := slices.ContainsFunc(operators, func(o census.Operator) bool { return o.Ready > 0 })
	if len(chosen) > 0 && !serving {
		s.note("warning: no operator is ready: Kubernetes' garbage collector removes the mesh then, in no order, and namespaces stay")
	}
	proxies, err := census.Count(ctx, c)
	if err != nil {
		s.note("warning: whether pods depend on it cannot be seen: %v", err)
		return nil
	}
	for _, p := range proxies {
		if p.Kind == census.Sidecar && slices.Contains(revisions, p.Revision) {
			s.note("warning: proxies of revision %s (%s) run in %s of %s; they go on with what they have until their certificates end, at most a day: start the pods again without a proxy before",
				p.Revision, p.Version, plural(p.Pods, "pod"), plural(p.Namespaces, "namespace"))
		}
	}
	return nil
}

// revisionsOf returns the names of the MeshRevisions of a mesh.
func revisionsOf(m *v1alpha1.MeshOperator) []string {
	out := []string{revision.Name(m.Spec)}
	for _, r := range m.Status.Revisions {
		out = append(out, r.Name)
	}
	return out
}

func (s *session) removeMeshes(ctx context.Context, c client.Client, chosen []v1alpha1.MeshOperator, u uninstalling, teller *progress.Teller) error {
	for i := range chosen {
		m := &chosen[i]
		if err := c.Delete(ctx, m, client.Preconditions{UID: &m.UID}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete MeshOperator %s: %w", m.Name, err)
		}
	}
	if !u.wait && !u.operator {
		return nil
	}
	for i := range chosen {
		err := progress.Gone(ctx, c, chosen[i].Name, u.limit, teller)
		if err == nil {
			err = progress.Removed(ctx, c, &chosen[i], revisionsOf(&chosen[i]), u.limit, teller)
		}
		var timeout *progress.TimeoutError
		if errors.As(err, &timeout) {
			return &exit{code: codeTimeout, err: err}
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "MeshOperator %s is gone\n", chosen[i].Name)
	}
	return nil
}

func (s *session) removeOperator(ctx context.Context, c client.Client, u uninstalling) error {
	objects, err := operatorObjects(revision.Platform{Registry: defaultRegistry})
	if err != nil {
		return err
	}
	left, err := installation.Remove(ctx, c, fieldManager, objects, u.purge, func(string) {})
	if err != nil && !meta.IsNoMatchError(err) {
		return err
	}
	fmt.Fprintln(s.Out, "the operator is removed")
	for _, name := range left {
		s.note("%s stays", name)
	}
	return nil
}
