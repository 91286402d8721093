// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
)

// phase is one step of an installation.
type phase struct {
	// name is the phase's in metrics.
	name string
	// condition is the type of the phase's condition, or "" when it has none.
	condition string
	run       func(context.Context, *scope) error
	// wanted says whether the spec asks for anything of this phase; nil: always.
	wanted func(*scope) bool
}

// phases lists what a reconcile does, in order. A phase that waits closes the
// gate: those behind it put back drift but install nothing.
func (r *Reconciler) phases() []phase {
	return []phase{
		{name: "validate", run: r.validate},
		{name: "record", run: r.record},
		{name: "crds", condition: v1alpha1.ConditionCRDsReady, run: r.applyDefinitions, wanted: func(s *scope) bool { return len(s.definitions) > 0 }},
		{name: "namespaces", run: r.applyNamespaces},
		{name: "cni", run: r.applyCNI},
		{name: "controlplane", condition: v1alpha1.ConditionControlPlaneReady, run: r.applyControlPlane, wanted: has(stageControlPlane)},
		{name: "webhooks", condition: v1alpha1.ConditionWebhooksReady, run: r.applyWebhooks, wanted: has(stageWebhooks)},
		{name: "gateways", condition: v1alpha1.ConditionGatewaysReady, run: r.applyGateways, wanted: has(stageGateways)},
		// A node that is down keeps nothing else from being installed.
		{name: "cni-ready", condition: v1alpha1.ConditionCNIReady, run: r.awaitCNI, wanted: has(stageCNI)},
		{name: "prune", run: r.prune},
	}
}

func has(wanted stage) func(*scope) bool {
	return func(s *scope) bool {
		for _, i := range s.items {
			if i.stage == wanted {
				return true
			}
		}
		return false
	}
}

// run runs the phases and returns the first reason why the revision is not ready.
func (r *Reconciler) run(ctx context.Context, s *scope) error {
	for _, p := range r.phases() {
		list := &s.revision.Status.Conditions
		if p.wanted != nil && !p.wanted(s) {
			meta.RemoveStatusCondition(list, p.condition)
			continue
		}
		done := timed(p.name)
		err := p.run(ctx, s)
		done()
		if p.condition != "" {
			conditions.Phase(list, p.condition, conditions.Summary{
				Generation: s.revision.Generation, Err: err,
				Reason: v1alpha1.ReasonReady, Message: "", ErrorReason: v1alpha1.ReasonError,
			})
		}
		if err == nil {
			continue
		}
		if conditions.KindOf(err) != conditions.Waiting {
			return err
		}
		if s.gate == nil {
			s.gate = err
		}
		// Nothing can be applied to a namespace that is going away.
		if conditions.ReasonOf(err, "") == v1alpha1.ReasonNamespaceTerminating {
			break
		}
	}
	return s.gate
}

// message describes a revision that is ready.
func (s *scope) message() string {
	gateways, controlPlane := 0, false
	for _, c := range s.revision.Spec.Components {
		switch c.Chart {
		case v1alpha1.ChartControlPlane:
			controlPlane = true
		case v1alpha1.ChartGateway:
			gateways++
		}
	}
	var parts []string
	if controlPlane {
		parts = append(parts, "the control plane")
	}
	switch {
	case gateways == 1:
		parts = append(parts, "1 gateway")
	case gateways > 1:
		parts = append(parts, fmt.Sprintf("%d gateways", gateways))
	}
	if len(parts) == 0 {
		return "nothing is to be installed"
	}
	verb := "are"
	if len(parts) == 1 && gateways < 2 {
		verb = "is"
	}
	out := fmt.Sprintf("%s: %s %s ready", s.revision.Spec.Version, strings.Join(parts, " and "), verb)
	if len(s.notes) > 0 {
		out += "; " + strings.Join(s.notes, "; ")
	}
	return out
}
