// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/precheck"
	"github.com/meshwright/meshwright/internal/cli/printer"
	"github.com/meshwright/meshwright/internal/cli/progress"
	"github.com/meshwright/meshwright/internal/revision"
)

// state is the result of the command status.
type state struct {
	// Problems are what a person should look at, the worst first.
	Problems      []string              `json:"problems"`
	Meshes        []meshState           `json:"meshes"`
	Operators     []census.Operator     `json:"operators,omitempty"`
	ControlPlanes []census.ControlPlane `json:"controlPlanes,omitempty"`
	Proxies       []census.Proxies      `json:"proxies,omitempty"`
	Tags          []tagState            `json:"tags,omitempty"`
	// Unanswered are namespaces whose label asks for a proxy, and that get none.
	Unanswered []precheck.Finding `json:"unanswered,omitempty"`
}

// meshState is how one mesh is.
type meshState struct {
	Name     string `json:"name"`
	Revision string `json:"revision"`
	Version  string `json:"version,omitempty"`
	Profile  string `json:"profile,omitempty"`
	// Ready is the status of the condition, for the current generation of the spec.
	Ready   string `json:"ready"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Upgrade, Revisions and Gateways are the MeshOperator's own.
	Upgrade   *v1alpha1.UpgradeStatus   `json:"upgrade,omitempty"`
	Revisions []v1alpha1.RevisionStatus `json:"revisions,omitempty"`
	Gateways  []v1alpha1.GatewayStatus  `json:"gateways,omitempty"`
}

func newStatus(s *session) *cobra.Command {
	format := printer.Table
	c := &cobra.Command{
		Use: "status [NAME...]", Short: "Shows how meshes are: what is wrong first, then what runs",
		Long: `Shows how meshes are: what is wrong first, then meshes, gateways, control planes, and the proxies of each.

The code is 1 when a mesh is not ready, or when there is none.`,
		Example: "  meshctl status\n  meshctl status mesh -o json",
		RunE: func(c *cobra.Command, args []string) error {
			reader, config, err := s.connect()
			if err != nil {
				return err
			}
			found, err := look(c.Context(), reader, config, args)
			if err != nil {
				return err
			}
			if err := printer.Print(s.Out, format, found, found.table); err != nil {
				return err
			}
			if !found.ready() {
				return &exit{code: codeFailed}
			}
			return nil
		},
	}
	outputFlag(c, &format)
	return c
}

// look reads how the meshes of a cluster are.
func look(ctx context.Context, c client.Client, config *rest.Config, wanted []string) (state, error) {
	var out state
	all, err := meshes(ctx, c)
	if err != nil {
		return out, err
	}
	for _, name := range wanted {
		if !slices.Contains(names(all), name) {
			return out, fmt.Errorf("there is no MeshOperator %s", name)
		}
	}
	out.Meshes = []meshState{}
	for i := range all {
		if len(wanted) == 0 || slices.Contains(wanted, all[i].Name) {
			out.Meshes = append(out.Meshes, stateOf(&all[i]))
		}
	}
	if out.Operators, err = census.Operators(ctx, c); err != nil {
		return out, err
	}
	if out.ControlPlanes, err = planes(ctx, c, config); err != nil {
		return out, err
	}
	if out.Proxies, err = census.Count(ctx, c); err != nil {
		return out, err
	}
	if out.Tags, err = tags(ctx, c); err != nil {
		return out, err
	}
	if out.Unanswered, err = precheck.Unanswered(ctx, c); err != nil {
		return out, err
	}
	out.Problems = problems(out)
	return out, nil
}

func stateOf(m *v1alpha1.MeshOperator) meshState {
	out := meshState{
		Name: m.Name, Revision: revision.Name(m.Spec), Version: m.Status.Version, Profile: m.Status.Profile,
		Ready: string(metav1.ConditionUnknown), Message: "no operator has acted on its latest change yet",
		Upgrade: m.Status.Upgrade, Revisions: m.Status.Revisions, Gateways: m.Status.Gateways,
	}
	for _, kind := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReady} {
		c := meta.FindStatusCondition(m.Status.Conditions, kind)
		if c == nil || c.ObservedGeneration != m.Generation {
			continue
		}
		out.Reason, out.Message = c.Reason, c.Message
		if kind == v1alpha1.ConditionReady {
			out.Ready = string(c.Status)
		} else if c.Status == metav1.ConditionTrue {
			out.Ready = string(metav1.ConditionFalse)
			break
		}
	}
	return out
}

func (s state) ready() bool {
	return len(s.Meshes) > 0 && !slices.ContainsFunc(s.Meshes, func(m meshState) bool { return m.Ready != string(metav1.ConditionTrue) })
}

// problems says what a person should look at.
func problems(s state) []string {
	out := []string{}
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(s.Meshes) == 0 {
		add("there is no mesh in this cluster; meshctl install makes one")
	}
	if len(s.Meshes) > 0 && !slices.ContainsFunc(s.Operators, func(o census.Operator) bool { return o.Ready > 0 }) {
		add("no operator is ready: what is below may be old, and nothing changes")
	}
	if len(s.Operators) > 1 {
		add("there are %d operators; they work against each other: remove all but one", len(s.Operators))
	}
	for _, m := range s.Meshes {
		if m.Ready != string(metav1.ConditionTrue) {
			text := strings.TrimPrefix(m.Reason+": "+m.Message, ": ")
			if remedy := progress.Remedy(m.Reason); remedy != "" {
				text += "; remedy: " + remedy
			}
			add("mesh %s is not ready: %s", m.Name, text)
		}
		if m.Upgrade != nil && m.Upgrade.Phase == v1alpha1.UpgradeFailed {
			add("mesh %s: the upgrade failed and was undone: %s", m.Name, m.Upgrade.Message)
		}
		for _, g := range m.Gateways {
			if g.Ready && len(g.Addresses) == 0 {
				add("gateway %s/%s has no address; a cluster without load balancers gives none", g.Namespace, g.Name)
			}
		}
	}
	for _, p := range s.ControlPlanes {
		if p.Condition != string(metav1.ConditionTrue) {
			add("MeshRevision %s is not ready", p.Revision)
		}
		if p.Told == nil {
			continue
		}
		if p.Told.Rejecting > 0 {
			add("control plane %s: %s refused configuration and kept what was there before; the condition Programmed of the objects says which", p.Revision, proxies(p.Told.Rejecting))
		}
		for _, trouble := range p.Told.Troubles {
			add("control plane %s: %s", p.Revision, trouble)
		}
	}
	for _, f := range s.Unanswered {
		add("%s: %s; remedy: %s", f.Object, f.Problem, f.Remedy)
	}
	for _, t := range s.Tags {
		if t.Ready != string(metav1.ConditionTrue) {
			add("tag %s is not ready: %s", t.Name, cmp.Or(t.Message, "no operator has acted on it yet"))
		}
	}
	for _, p := range s.Proxies {
		known := slices.ContainsFunc(s.ControlPlanes, func(c census.ControlPlane) bool { return c.Revision == p.Revision })
		if !known && p.Kind == census.Sidecar {
			add("proxies of revision %s, which is not there any more: %s in %s; start them again", p.Revision, plural(p.Pods, "pod"), plural(p.Namespaces, "namespace"))
		}
	}
	return out
}

func (s state) table(w io.Writer) {
	for i, problem := range s.Problems {
		if i == 0 {
			fmt.Fprintln(w, "PROBLEMS")
		}
		fmt.Fprintf(w, "  %s\n", problem)
	}
	if len(s.Problems) > 0 && len(s.Meshes) > 0 {
		fmt.Fprintln(w)
	}
	if len(s.Meshes) > 0 {
		s.meshTable(w)
	}
	if len(s.ControlPlanes)+len(s.Proxies) > 0 {
		fmt.Fprintln(w)
		s.proxyTable(w)
	}
	if len(s.Tags) > 0 {
		fmt.Fprintln(w)
		tagTable(w, s.Tags)
	}
}

func (s state) meshTable(w io.Writer) {
	var rows, gateways [][]string
	for _, m := range s.Meshes {
		rows = append(rows, []string{m.Name, m.Revision, m.Version, m.Profile, m.Ready, progress.Upgrade(m.Upgrade)})
		for _, g := range m.Gateways {
			gateways = append(gateways, []string{g.Namespace + "/" + g.Name, m.Name, yesNo(g.Ready), strings.Join(g.Addresses, ",")})
		}
	}
	printer.Columns(w, []string{"MESH", "REVISION", "VERSION", "PROFILE", "READY", "UPGRADE"}, rows)
	if len(gateways) > 0 {
		fmt.Fprintln(w)
		printer.Columns(w, []string{"GATEWAY", "MESH", "READY", "ADDRESSES"}, gateways)
	}
}

func (s state) proxyTable(w io.Writer) {
	var rows [][]string
	for _, c := range s.ControlPlanes {
		replicas, gateways, sidecars, versions := "", 0, 0, []string{}
		if c.Replicas > 0 {
			replicas = ready(c.Ready, c.Replicas)
		}
		for _, p := range s.Proxies {
			if p.Revision != c.Revision {
				continue
			}
			if p.Kind == census.Gateway {
				gateways += p.Pods
			} else {
				sidecars += p.Pods
			}
			if !slices.Contains(versions, p.Version) {
				versions = append(versions, p.Version)
			}
		}
		connected, stale, rejecting := "", "", ""
		if t := c.Told; t != nil && t.Replicas > 0 {
			connected, stale, rejecting = strconv.Itoa(t.Connected), strconv.Itoa(t.Stale), strconv.Itoa(t.Rejecting)
		}
		rows = append(rows, []string{
			c.Revision, c.Running(), replicas, c.Condition, strconv.Itoa(sidecars), strconv.Itoa(gateways), strings.Join(versions, ","),
			connected, stale, rejecting,
		})
	}
	printer.Columns(w, []string{
		"CONTROL PLANE", "VERSION", "REPLICAS", "READY", "SIDECARS", "GATEWAYS", "OF VERSIONS", "CONNECTED", "STALE", "REJECTING",
	}, rows)
}

func proxies(n int) string {
	if n == 1 {
		return "1 proxy"
	}
	return strconv.Itoa(n) + " proxies"
}

func yesNo(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
