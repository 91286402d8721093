// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/internal/cli/wanted"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/manifest"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
)

// defaultRegistry is where images come from when nobody says otherwise, as in
// the operator's chart.
const defaultRegistry = "ghcr.io/meshwright"

// The charts that meshctl carries, parsed once: the mesh's and the operator's.
var (
	meshCharts     = sync.OnceValues(func() (*helm.Charts, error) { return helm.Load(charts.Files) })
	operatorCharts = sync.OnceValues(func() (*helm.Charts, error) { return helm.Load(charts.Operator) })
)

// wishFlags say what mesh is wanted.
func wishFlags(c *cobra.Command, w *wanted.Source) {
	f := c.Flags()
	f.StringArrayVarP(&w.Files, "filename", "f", nil, "file with a MeshOperator or an IstioOperator, - for the standard input; may be given again, later ones go over earlier ones")
	f.StringArrayVar(&w.Set, "set", nil, "field of the spec, as in gateways.ingress[0].replicas=2; may be given again")
	f.StringArrayVar(&w.SetString, "set-string", nil, "the same for values that look like numbers and are none")
	f.StringVar(&w.Profile, "profile", "", "profile; meshctl profile list has them")
	f.StringVar(&w.Revision, "revision", "", "name of the control plane, which namespaces say in istio.io/rev")
}

// read reads a wish and tells what of it has no effect.
func (s *session) read(w wanted.Source) (wanted.Mesh, error) {
	w.Stdin = s.In
	mesh, err := wanted.Read(w)
	if err != nil {
		return mesh, &exit{code: codeUsage, err: err}
	}
	for _, u := range mesh.Unmapped {
		s.note("no effect: %s", u)
	}
	return mesh, nil
}

// render returns what the operator would apply for a spec.
func render(spec v1alpha1.MeshOperatorSpec, platform revision.Platform, kubeVersion string) (v1alpha1.MeshRevisionSpec, manifest.Manifest, error) {
	plan, err := resolve(spec, platform)
	if err != nil {
		return plan, manifest.Manifest{}, err
	}
	carried, err := meshCharts()
	if err != nil {
		return plan, manifest.Manifest{}, fmt.Errorf("load the charts: %w", err)
	}
	rendered, err := manifest.Render(carried, kubeVersion, revision.Name(spec), plan)
	return plan, rendered, err
}

func resolve(spec v1alpha1.MeshOperatorSpec, platform revision.Platform) (v1alpha1.MeshRevisionSpec, error) {
	spec.Platform = cmp.Or(spec.Platform, platform.Name)
	resolved, err := profile.Resolve(spec)
	if err != nil {
		return v1alpha1.MeshRevisionSpec{}, err
	}
	return revision.Plan(resolved, platform)
}
