// SPDX-License-Identifier: Apache-2.0

// Package upgrade decides how a mesh gets from one control plane to another.
//
// A decision is a pure function of what is in the cluster, of what the user
// wants and of the time. Whoever carries it out may die at any moment: the next
// decision is made from what is then there.
package upgrade

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
)

// World is all that a decision is made from.
type World struct {
	// Now is the time.
	Now time.Time
	// Name is the revision that namespaces say.
	Name string
	// Wanted is the identity that the spec asks for.
	Wanted v1alpha1.Identity
	// Strategy is the spec's.
	Strategy v1alpha1.UpgradeStrategy
	// Installed says where things are. Nil when nothing is installed yet.
	Installed *Layout
	// Revisions are the mesh's MeshRevisions by name.
	Revisions map[string]Revision
	// Workloads are those with proxies of any of the mesh's control planes, by
	// their place. Only looked at for Canary.
	Workloads []Workload
	// Usage is how many pods, gateways aside, and tags need a revision. It is nil
	// when that is not known.
	Usage map[string]int
	// Status is the upgrade that is under way or failed; nil for none.
	Status *v1alpha1.UpgradeStatus
	// Unused is since when revisions are not needed.
	Unused map[string]time.Time
	// Verdict is what the analysis says of the current step.
	Verdict Verdict
	// Good is the identity that was ready last; nil when none was.
	Good *v1alpha1.Identity
}

// Proxies is how many pods with proxies of a revision there are that must be
// connected to it: those of workloads that are wholly on it and ready.
func (w World) Proxies(revision string) (n int) {
	for _, one := range w.Workloads {
		if one.Settled && one.Stuck == "" && len(one.Pods) == 1 {
			n += one.Pods[revision]
		}
	}
	return n
}

// Layout says which control planes there are, and where what belongs to the
// mesh's name leads.
type Layout struct {
	// Identities are the control planes, by the name of their MeshRevision.
	Identities map[string]v1alpha1.Identity
	// Entry is the revision that answers for the mesh's name.
	Entry string
	// Move says which workloads belong to another revision; nil for none.
	Move *Move
	// Gateways is what the gateways are, and which revision they ask.
	Gateways Gateways
}

// Gateways is what the gateways of a mesh are.
type Gateways struct {
	// Revision is the control plane that they ask.
	Revision string
	// Identity is what they are.
	Identity v1alpha1.Identity
}

// Move says which workloads belong to another revision than the entry.
type Move struct {
	// Revision is where they belong.
	Revision string
	// UpTo is the highest place of a workload that belongs there; nil for none.
	UpTo *placement.Place
	// Namespaces select the namespaces whose workloads all belong there.
	Namespaces []labels.Selector
}

// Revision is what is seen of a MeshRevision.
type Revision struct {
	// Ready is true when all that it holds serves, in its latest form.
	Ready bool
	// Stalled is why it will not become ready without a user; empty otherwise.
	Stalled string
	// Message is what it waits for.
	Message string
}

// Workload is what is seen of something whose pods have proxies.
type Workload struct {
	placement.Workload
	// Place is the workload's.
	Place placement.Place
	// Labels are those of its namespace.
	Labels labels.Set
	// Pods are how many pods have proxies of which revision. Those that are
	// ending or have ended do not count.
	Pods map[string]int
	// Mark is the annotation of its pod template that says for which revision
	// it was restarted last, and Before what it was before this upgrade.
	Mark string
	// Before is nil when this upgrade did not restart it.
	Before *string
	// Settled is true when its pods are as its template wants them, and ready.
	Settled bool
	// Broken is why a pod with a new proxy cannot start; empty when none is.
	Broken string
	// Stuck is why it cannot be restarted; empty when it can.
	Stuck string
	// Blocked is why it must not be restarted now; empty when it may.
	Blocked string
}

// Verdict is what an analysis says.
type Verdict struct {
	// Good is true when all that was asked is within bounds.
	Good bool
	// Bad says what is out of bounds; empty when nothing is.
	Bad string
	// Missing says what is not well, or not known, and may yet become so.
	Missing string
}

// Restart is one workload to be restarted.
type Restart struct {
	Workload placement.Workload
	// Mark is the annotation's value; empty takes it away.
	Mark string
	// Before is kept on the workload until the upgrade ends; nil removes it.
	Before *string
}

// Decision is what to do next.
type Decision struct {
	// Layout is how things are to be.
	Layout Layout
	// Restarts are workloads to restart now.
	Restarts []Restart
	// Status replaces status.upgrade.
	Status *v1alpha1.UpgradeStatus
	// Unused replaces what is known of revisions that nobody needs.
	Unused map[string]time.Time
	// Outcome is an upgrade that ended now: Succeeded, Failed, or empty.
	Outcome Outcome
	// After is when to decide again at the latest; zero when a change tells.
	After time.Duration
}

// Outcome is how an upgrade ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "Succeeded"
	Failed    Outcome = "Failed"
)
