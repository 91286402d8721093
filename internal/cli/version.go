// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/printer"
	"github.com/meshwright/meshwright/internal/revision"
)

// versions is the result of the command version.
type versions struct {
	Client        string                `json:"client"`
	Operators     []census.Operator     `json:"operators,omitempty"`
	ControlPlanes []census.ControlPlane `json:"controlPlanes,omitempty"`
	Proxies       []census.Proxies      `json:"proxies,omitempty"`
}

func newVersion(s *session) *cobra.Command {
	format, local := printer.Table, false
	c := &cobra.Command{
		Use: "version", Short: "Shows the versions of meshctl, the operator, the control planes and the proxies", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v := versions{Client: revision.Version}
			if !local {
				reader, config, err := s.connect()
				if err != nil {
					return err
				}
				if v.Operators, err = census.Operators(c.Context(), reader); err != nil {
					return err
				}
				if v.ControlPlanes, err = planes(c.Context(), reader, config); err != nil {
					return err
				}
				if v.Proxies, err = census.Count(c.Context(), reader); err != nil {
					return err
				}
			}
			return printer.Print(s.Out, format, v, v.table)
		},
	}
	outputFlag(c, &format)
	c.Flags().BoolVar(&local, "client", false, "only meshctl itself; no cluster is asked")
	return c
}

func (v versions) table(w io.Writer) {
	rows := [][]string{{"meshctl", "", "", v.Client, ""}}
	for _, o := range v.Operators {
		rows = append(rows, []string{"operator", o.Namespace + "/" + o.Name, "", o.Version, ready(o.Ready, o.Replicas)})
	}
	for _, p := range v.ControlPlanes {
		count := ""
		if p.Replicas > 0 {
			count = ready(p.Ready, p.Replicas)
		}
		if p.Told != nil && p.Told.Replicas > 0 {
			count += ", " + plural(p.Told.Connected, "connection")
		}
		rows = append(rows, []string{"control plane", p.Namespace, p.Revision, p.Running(), count})
	}
	for _, p := range v.Proxies {
		rows = append(rows, []string{p.Kind + " proxies", plural(p.Namespaces, "namespace"), p.Revision, p.Version, plural(p.Pods, "pod")})
	}
	printer.Columns(w, []string{"WHAT", "WHERE", "REVISION", "VERSION", "COUNT"}, rows)
}

// planes reads what control planes there are, and asks them.
func planes(ctx context.Context, reader client.Reader, config *rest.Config) ([]census.ControlPlane, error) {
	out, err := census.ControlPlanes(ctx, reader)
	if err != nil {
		return nil, err
	}
	ask, err := census.Through(config)
	if err != nil {
		return nil, err
	}
	return out, census.Ask(ctx, reader, ask, out)
}

func ready(n, of int32) string { return fmt.Sprintf("%d/%d ready", n, of) }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
