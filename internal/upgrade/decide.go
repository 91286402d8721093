// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// pace is how often an upgrade that is under way is looked at.
const pace = 2 * time.Second

// Decide says what to do next.
func Decide(w World) Decision {
	if w.Installed == nil {
		return Decision{Layout: Fresh(w.Name, w.Wanted), Unused: map[string]time.Time{}}
	}
	m := machine{World: w, settings: settle(w.Strategy), layout: w.Installed.clone()}
	if w.Status != nil {
		m.up = w.Status.DeepCopy()
	}
	m.decide()
	m.retire()
	return Decision{
		Layout: m.layout, Restarts: m.restarts, Status: m.up, Unused: m.unused, Outcome: m.outcome, After: m.after,
	}
}

// machine is one decision while it is made.
type machine struct {
	World
	settings settings
	layout   Layout
	up       *v1alpha1.UpgradeStatus
	restarts []Restart
	unused   map[string]time.Time
	outcome  Outcome
	after    time.Duration
}

func (m *machine) decide() {
	if m.up != nil && m.up.Phase == v1alpha1.UpgradeFailed {
		if same(m.Wanted, m.up.Target) {
			return
		}
		m.up = nil
	}
	if m.up != nil && m.up.From != m.up.To && m.layout.Entry == m.up.To {
		// It had ended when whoever decided it died before he could say so.
		m.up, m.outcome = nil, Succeeded
	}
	if m.up == nil {
		if same(m.Wanted, m.layout.Identities[m.layout.Entry]) && same(m.Wanted, m.layout.Gateways.Identity) {
			return
		}
		m.begin()
	}
	if m.up == nil {
		return
	}
	m.soon(pace)
	if m.up.Phase != v1alpha1.UpgradeRollingBack {
		switch {
		case !same(m.Wanted, m.up.Target):
			m.undo("the spec asks for another version now")
		case m.settings.abort == m.up.To && m.up.To != m.up.From:
			m.undo("given up by spec.upgradeStrategy.canary.abort")
		}
	}
	run := m.canary
	if m.up.From == m.up.To {
		run = m.inPlace
	}
	ahead := m.up.Phase != v1alpha1.UpgradeRollingBack
	run()
	if ahead && m.up != nil && m.up.Phase == v1alpha1.UpgradeRollingBack {
		run() // the way back begins at once
	}
}

// begin starts an upgrade. A mesh that never was ready has nothing to go back
// to: it is changed as it is.
func (m *machine) begin() {
	entry := m.layout.Entry
	if m.Good == nil {
		m.layout.Identities[entry] = m.Wanted
		m.layout.Gateways = Gateways{Revision: entry, Identity: m.Wanted}
		return
	}
	to := entry
	if m.settings.canary && !same(m.layout.Identities[entry], m.Wanted) {
		to = revisionFor(m.Name, m.Wanted, m.layout.Identities)
	}
	now := metav1.NewTime(m.Now)
	m.up = &v1alpha1.UpgradeStatus{
		From: entry, To: to, Target: m.Wanted, Phase: v1alpha1.UpgradeInstalling, StartTime: now, ProgressTime: now,
	}
}

// inPlace changes the control plane, then the gateways.
func (m *machine) inPlace() {
	identity, revision := m.Wanted, m.layout.Entry
	switch m.up.Phase {
	case v1alpha1.UpgradeInstalling:
		if m.Strategy.Paused && !same(m.layout.Identities[revision], identity) {
			m.say("paused by spec.upgradeStrategy.paused")
			return
		}
		m.layout.Identities[revision] = identity
		if m.await(revision, "control plane") && !m.Strategy.Paused {
			m.enter(v1alpha1.UpgradeGateways)
			m.layout.Gateways = Gateways{Revision: revision, Identity: identity}
		}
	case v1alpha1.UpgradeGateways:
		m.layout.Gateways = Gateways{Revision: revision, Identity: identity}
		if m.await(m.Name, "gateways") {
			m.up, m.outcome = nil, Succeeded
		}
	case v1alpha1.UpgradeRollingBack:
		good := *m.Good
		m.layout.Identities[revision] = good
		m.layout.Gateways = Gateways{Revision: revision, Identity: good}
		if m.there(revision) && m.there(m.Name) {
			m.fail()
		}
	}
}

// await waits for a revision in its new form, and undoes what takes too long
// or will not come.
func (m *machine) await(revision, what string) bool {
	if m.there(revision) {
		return true
	}
	seen := m.Revisions[revision]
	switch {
	case seen.Stalled != "" && m.layout.Equal(*m.Installed):
		m.undo(fmt.Sprintf("the %s of MeshRevision %s: %s", what, revision, seen.Stalled))
	case m.late():
		m.undo(fmt.Sprintf("the %s of MeshRevision %s did not become ready within %s: %s", what, revision, m.settings.deadline, seen.Message))
	default:
		m.say(fmt.Sprintf("waiting for the %s: %s", what, seen.Message))
	}
	return false
}

// there says whether a revision is ready in the form that this decision wants.
func (m *machine) there(revision string) bool {
	return m.layout.Equal(*m.Installed) && m.Revisions[revision].Ready
}

func (m *machine) late() bool { return m.Now.Sub(m.up.ProgressTime.Time) > m.settings.deadline }

// enter begins a phase.
func (m *machine) enter(phase v1alpha1.UpgradePhase) {
	m.up.Phase, m.up.SoakTime = phase, nil
	m.progress()
}

func (m *machine) progress() { m.up.ProgressTime = metav1.NewTime(m.Now) }

func (m *machine) say(message string) {
	if m.up != nil {
		m.up.Message = message
	}
}

// undo begins the way back.
func (m *machine) undo(reason string) {
	m.enter(v1alpha1.UpgradeRollingBack)
	m.say(reason)
}

// fail ends an upgrade whose way back is done. The message stays.
func (m *machine) fail() {
	m.up.Phase, m.outcome = v1alpha1.UpgradeFailed, Failed
	m.up.Remaining, m.up.UpTo = nil, ""
}

func (m *machine) soon(after time.Duration) {
	if m.after == 0 || after < m.after {
		m.after = after
	}
}

// retire lets control planes go that nobody has needed for the grace period.
// When it is not known whether somebody needs one, it stays.
func (m *machine) retire() {
	m.unused = map[string]time.Time{}
	for name := range maps.Clone(m.layout.Identities) {
		active := m.up != nil && m.up.Phase != v1alpha1.UpgradeFailed && (name == m.up.To || name == m.up.From)
		if name == m.layout.Entry || name == m.layout.Gateways.Revision || active || m.Usage == nil || m.Usage[name] > 0 {
			continue
		}
		since, known := m.Unused[name]
		if !known {
			since = m.Now
		}
		if left := m.settings.grace - m.Now.Sub(since); left > 0 {
			m.unused[name] = since
			m.soon(left)
			continue
		}
		// Gateways and webhooks must have left it in the cluster, not only in this decision.
		if m.Installed.Entry == name || m.Installed.Gateways.Revision == name || m.Installed.Move != nil && m.Installed.Move.Revision == name {
			m.unused[name] = since
			m.soon(pace)
			continue
		}
		delete(m.layout.Identities, name)
	}
}
