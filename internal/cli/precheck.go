// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/precheck"
	"github.com/meshwright/meshwright/internal/cli/printer"
	"github.com/meshwright/meshwright/internal/cli/wanted"
	"github.com/meshwright/meshwright/internal/manifest"
	"github.com/meshwright/meshwright/internal/revision"
)

func newPrecheck(s *session) *cobra.Command {
	w, format := wanted.Source{}, printer.Table
	c := &cobra.Command{
		Use: "precheck", Short: "Names what would fail before anything is installed", Args: cobra.NoArgs,
		Long: `Names what would fail, or go wrong later, before anything is installed. It only reads.

The flags say what is to be installed, as those of install do. The code is 3 when there are errors; warnings and remarks leave it 0.`,
		Example: "  meshctl precheck --profile demo\n  meshctl precheck -f mesh.yaml -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			mesh, err := s.read(w)
			if err != nil {
				return err
			}
			reader, config, err := s.connect()
			if err != nil {
				return err
			}
			findings, err := runPrecheck(c.Context(), reader, config, mesh)
			if err != nil {
				return err
			}
			if err := printFindings(s.Out, format, findings); err != nil {
				return err
			}
			if precheck.Failed(findings) {
				return &exit{code: codePrecheck}
			}
			return nil
		},
	}
	wishFlags(c, &w)
	outputFlag(c, &format)
	return c
}

// runPrecheck asks the cluster what would go wrong with a mesh.
func runPrecheck(ctx context.Context, c client.Client, config *rest.Config, mesh wanted.Mesh) ([]precheck.Finding, error) {
	asker, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	version, platform, err := surroundings(ctx, c, asker)
	if err != nil {
		return nil, err
	}
	plan, rendered, err := render(mesh.Spec, platform, version)
	if err != nil {
		return nil, err
	}
	loaded, err := meshCharts()
	if err != nil {
		return nil, err
	}
	operator, err := missingOperator(ctx, c)
	if err != nil {
		return nil, err
	}
	return precheck.Run(ctx, precheck.Cluster{Client: c, Discovery: asker}, precheck.Plan{
		Kubernetes: loaded.KubeVersion("controlplane"), Operator: operator, Mesh: rendered,
		Namespaces: manifest.Namespaces(plan), Name: mesh.Name, Revision: revision.Name(mesh.Spec),
	}), nil
}

// missingOperator returns the operator's objects when no operator is there.
// Who may not look for one will hear from the checks what else he may not.
func missingOperator(ctx context.Context, c client.Client) ([]*unstructured.Unstructured, error) {
	if there, err := census.Operators(ctx, c); err == nil && len(there) > 0 {
		return nil, nil
	}
	return operatorObjects(revision.Platform{Registry: defaultRegistry})
}

// checked is the result of the command precheck.
type checked struct {
	Checks   []string           `json:"checks"`
	Findings []precheck.Finding `json:"findings"`
}

func printFindings(w io.Writer, format printer.Format, findings []precheck.Finding) error {
	out := checked{Checks: precheck.Names(), Findings: findings}
	if out.Findings == nil {
		out.Findings = []precheck.Finding{}
	}
	return printer.Print(w, format, out, func(w io.Writer) {
		writeFindings(w, findings)
		if len(findings) == 0 {
			fmt.Fprintf(w, "nothing was found by %d checks: %s\n", len(out.Checks), strings.Join(out.Checks, ", "))
		}
	})
}

func writeFindings(w io.Writer, findings []precheck.Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%-8s %s: %s\n         remedy: %s\n", f.Level, f.Object, f.Problem, f.Remedy)
	}
}
