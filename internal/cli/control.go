// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/equality"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/progress"
)

// control changes the course of an upgrade by a field of the spec.
type control struct {
	use, short, long string
	// awaits says whether the end of the upgrade is awaited afterwards.
	awaits bool
	// steer changes the spec, or says why that cannot be.
	steer func(*v1alpha1.MeshOperator) error
}

var controls = []control{
	{
		use: "promote", short: "Takes all remaining steps of an upgrade at once", awaits: true, steer: promote,
		long: "Moves all remaining workloads to the new control plane, without waiting for the analysis of the steps: sets spec.upgradeStrategy.canary.promote.",
	},
	{
		use: "abort", short: "Gives up an upgrade: what was moved goes back", steer: abort,
		long: "Gives up an upgrade: what was moved goes back to the old control plane, and the new one goes. Sets spec.upgradeStrategy.canary.abort. The version that was asked for stays in the spec; meshctl rollback takes it back there, too.",
	},
	{
		use: "pause", short: "Holds an upgrade where it is", steer: pause,
		long: "Holds an upgrade where it is: what was begun ends, nothing else begins. Sets spec.upgradeStrategy.paused.",
	},
	{
		use: "resume", short: "Goes on with an upgrade that is held", awaits: true, steer: resume,
		long: "Goes on with an upgrade that is held: removes spec.upgradeStrategy.paused.",
	},
}

func newControls(s *session) []*cobra.Command {
	out := make([]*cobra.Command, len(controls))
	for i, one := range controls {
		w, yes := waiting{}, false
		c := &cobra.Command{
			Use: one.use + " [NAME]", Short: one.short, Long: one.long + " NAME may be left out when there is one mesh.", Args: cobra.MaximumNArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				w.wait = w.wait && one.awaits
				return s.steer(c.Context(), one.steer, args, w, yes)
			},
		}
		if one.awaits {
			waitFlags(c, &w)
		}
		c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
		out[i] = c
	}
	return out
}

// steer changes a mesh's spec and awaits the mesh if that is wanted.
func (s *session) steer(ctx context.Context, steer func(*v1alpha1.MeshOperator) error, args []string, w waiting, yes bool) error {
	c, _, err := s.connect()
	if err != nil {
		return err
	}
	live, err := only(ctx, c, args)
	if err != nil {
		return err
	}
	wish := live.DeepCopy()
	if err := steer(wish); err != nil {
		return err
	}
	if err := s.change(ctx, c, live, wish.Spec, yes); err != nil {
		return err
	}
	return s.await(ctx, c, live.Name, w, &progress.Teller{Out: s.Err, Began: time.Now()})
}

// underWay returns the canary upgrade of a mesh.
func underWay(m *v1alpha1.MeshOperator) (*v1alpha1.CanaryStrategy, string, error) {
	u := m.Status.Upgrade
	if u == nil || u.Phase == v1alpha1.UpgradeFailed {
		return nil, "", fmt.Errorf("no upgrade of MeshOperator %s is under way", m.Name)
	}
	strategy := m.Spec.UpgradeStrategy
	if strategy == nil || strategy.Type != v1alpha1.Canary {
		return nil, "", fmt.Errorf("the upgrade of MeshOperator %s is InPlace and has no steps; meshctl rollback goes back", m.Name)
	}
	if strategy.Canary == nil {
		strategy.Canary = &v1alpha1.CanaryStrategy{}
	}
	return strategy.Canary, u.To, nil
}

func promote(m *v1alpha1.MeshOperator) error {
	canary, to, err := underWay(m)
	if err != nil {
		return err
	}
	if m.Status.Upgrade.Phase == v1alpha1.UpgradeRollingBack {
		return fmt.Errorf("the upgrade of MeshOperator %s is being undone; wait for its end, then upgrade again", m.Name)
	}
	canary.Promote, canary.Abort = to, ""
	return nil
}

func abort(m *v1alpha1.MeshOperator) error {
	canary, to, err := underWay(m)
	if err != nil {
		return err
	}
	canary.Abort, canary.Promote = to, ""
	return nil
}

func pause(m *v1alpha1.MeshOperator) error {
	if m.Spec.UpgradeStrategy == nil {
		m.Spec.UpgradeStrategy = &v1alpha1.UpgradeStrategy{}
	}
	m.Spec.UpgradeStrategy.Paused = true
	return nil
}

func resume(m *v1alpha1.MeshOperator) error {
	if m.Spec.UpgradeStrategy != nil {
		m.Spec.UpgradeStrategy.Paused = false
	}
	return nil
}

func newRollback(s *session) *cobra.Command {
	w, yes, steps := waiting{}, false, 0
	c := &cobra.Command{
		Use: "rollback [NAME]", Short: "Goes back to what the mesh was before: its version and images", Args: cobra.MaximumNArgs(1),
		Long: `Goes back to what the mesh was before: writes an identity of status.history (version, registry, tag, digests) into the spec, and waits.

Without --to it is the latest that was ready and is other than what the spec asks for now; --to 2 is the one before that. All other fields stay. NAME
may be left out when there is one mesh.`,
		Example: "  meshctl rollback\n  meshctl rollback mesh --to 2 -y",
		RunE: func(c *cobra.Command, args []string) error {
			return s.steer(c.Context(), func(m *v1alpha1.MeshOperator) error { return rollback(m, steps) }, args, w, yes)
		},
	}
	waitFlags(c, &w)
	c.Flags().IntVar(&steps, "to", 1, "how far back, from 1")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// rollback writes a former identity into the spec.
func rollback(m *v1alpha1.MeshOperator, steps int) error {
	if steps < 1 {
		return usage("--to %d: give a number of at least 1", steps)
	}
	history := m.Status.History
	// The latest is what the mesh is, unless an upgrade has not been ready.
	if m.Status.Upgrade == nil && len(history) > 0 {
		history = history[1:]
	}
	if len(history) == 0 {
		return fmt.Errorf("MeshOperator %s was never ready as anything else", m.Name)
	}
	if steps > len(history) {
		return fmt.Errorf("MeshOperator %s remembers %s only", m.Name, plural(len(history), "former state"))
	}
	before := m.Spec.DeepCopy()
	restore(&m.Spec, history[steps-1].Identity)
	if equality.Semantic.DeepEqual(*before, m.Spec) {
		return errors.New("the spec asks for that already; meshctl status says how it comes along")
	}
	return nil
}

// restore makes the spec ask for an identity.
func restore(spec *v1alpha1.MeshOperatorSpec, to v1alpha1.Identity) {
	spec.Version = to.Version
	if spec.Image == nil {
		spec.Image = &v1alpha1.Image{}
	}
	spec.Image.Registry, spec.Image.Tag, spec.Image.Proxy = to.Registry, to.Tag, to.Proxy
	spec.Image.Digests = to.Digests.DeepCopy()
	if spec.UpgradeStrategy != nil && spec.UpgradeStrategy.Canary != nil {
		// They speak of another upgrade.
		spec.UpgradeStrategy.Canary.Promote, spec.UpgradeStrategy.Canary.Abort = "", ""
	}
}
