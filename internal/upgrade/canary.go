// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
)

const (
	// mostRemaining bounds status.upgrade.remaining.
	mostRemaining = 20
	// mostTries is how often a workload is restarted whose pods come back with
	// the old proxy.
	mostTries = 3
	// recheck is how long a workload's pods may seem to have the old proxy after
	// its rollout is over: what is seen of both need not be of the same moment.
	recheck = 5 * time.Second
)

func (m *machine) canary() {
	m.up.Total = int32(len(m.Workloads))
	m.up.Steps = int32(len(m.settings.steps))
	if m.up.Phase == v1alpha1.UpgradeRollingBack {
		m.back()
		return
	}
	m.layout.Identities[m.up.To] = m.up.Target
	switch m.up.Phase {
	case v1alpha1.UpgradeInstalling:
		if m.await(m.up.To, "control plane") && !m.held() {
			m.step(1)
		}
	case v1alpha1.UpgradeMoving, v1alpha1.UpgradeSoaking:
		m.move()
	case v1alpha1.UpgradeHolding:
		m.hold()
	case v1alpha1.UpgradeGateways:
		m.gateways()
	}
}

// held says whether the user holds the upgrade.
func (m *machine) held() bool {
	if m.Strategy.Paused {
		m.say("paused by spec.upgradeStrategy.paused")
	}
	return m.Strategy.Paused
}

// promoted says whether the user wants the rest at once.
func (m *machine) promoted() bool { return m.settings.promote == m.up.To }

// step begins a step, from 1: it says which workloads belong to the new
// revision. That stays while pods come and go.
func (m *machine) step(n int) {
	m.up.Step = int32(n)
	wanted := m.settings.steps[n-1].percent
	if m.promoted() {
		wanted, m.up.Step = 100, int32(len(m.settings.steps))
	}
	if to := percentile(m.Workloads, wanted); to != nil && wanted > 0 {
		if before := m.upTo(); before == nil || *before < *to {
			m.up.UpTo = to.String()
		}
	}
	m.enter(v1alpha1.UpgradeMoving)
	m.layout.Move = m.moves()
}

// upTo is the place up to which workloads were moved before; nil for none.
func (m *machine) upTo() *placement.Place {
	place, err := placement.ParsePlace(m.up.UpTo)
	if err != nil {
		return nil
	}
	return &place
}

// moves are the workloads of all steps up to the current one.
func (m *machine) moves() *Move {
	out := &Move{Revision: m.up.To, UpTo: m.upTo()}
	for i, s := range m.settings.steps {
		if i < int(m.up.Step) && s.namespaces != nil {
			out.Namespaces = append(out.Namespaces, s.namespaces)
		}
	}
	return out
}

// tally is what one look at the workloads of a step found.
type tally struct {
	moved, moving int
	waiting       []string // not begun, or to be done again
	stuck         []string
	broken        string
	next          []Restart
}

// look counts how far the workloads are that belong to the new revision.
func (m *machine) look(move *Move) tally {
	var t tally
	for _, w := range m.Workloads {
		there := len(w.Pods) == 1 && w.Pods[m.up.To] > 0
		if there && w.Settled && w.Broken == "" {
			t.moved++
			continue
		}
		if !move.takes(w) {
			continue
		}
		name := w.String()
		revision, try := readMark(w.Mark)
		marked := revision == m.up.To
		switch {
		case marked && w.Broken != "":
			t.broken = name + ": " + w.Broken
		case marked && !w.Settled, there:
			t.moving++
			t.waiting = append(t.waiting, name+": its pods are being replaced")
		case marked && m.Now.Sub(m.up.ProgressTime.Time) < recheck:
			t.moving++
		case marked && try >= mostTries:
			t.broken = fmt.Sprintf("%s: its pods still get the old proxy after %d restarts", name, mostTries)
		case w.Stuck != "":
			t.stuck = append(t.stuck, name+": "+w.Stuck)
		case w.Blocked != "":
			t.waiting = append(t.waiting, name+": "+w.Blocked)
		default:
			before := w.Before
			if before == nil {
				before = &w.Mark
			}
			t.waiting = append(t.waiting, name)
			t.next = append(t.next, Restart{Workload: w.Workload, Mark: writeMark(m.up.To, try+1, marked), Before: before})
		}
	}
	return t
}

// move restarts what belongs to the new revision, a few at a time, and lets the
// analysis watch when all of it is there.
func (m *machine) move() {
	if m.promoted() && !m.all() {
		m.step(len(m.settings.steps))
	}
	m.layout.Move = m.moves()
	t := m.look(m.layout.Move)
	m.tell(t)
	switch {
	case t.broken != "":
		m.undo(t.broken)
		return
	case m.Revisions[m.up.To].Stalled != "":
		m.undo("MeshRevision " + m.up.To + ": " + m.Revisions[m.up.To].Stalled)
		return
	case t.moving > 0 && m.late():
		m.undo(fmt.Sprintf("step %d: not ready within %s: %s", m.up.Step, m.settings.deadline, strings.Join(first(t.waiting, 3), "; ")))
		return
	}
	// Nothing is restarted before the webhooks and both control planes stand.
	for _, revision := range []string{m.Name, m.up.From, m.up.To} {
		if !m.there(revision) {
			m.say(m.at() + "waiting for MeshRevision " + revision + ": " + m.Revisions[revision].Message)
			return
		}
	}
	if m.up.Phase == v1alpha1.UpgradeMoving {
		if m.held() {
			return
		}
		room := m.settings.atOnce(len(m.Workloads)) - t.moving
		for i := 0; i < room && i < len(t.next); i++ {
			m.restarts = append(m.restarts, t.next[i])
			m.progress()
		}
		if t.moving > 0 || len(t.waiting) > 0 {
			m.say(m.at() + "waiting for " + strings.Join(first(t.waiting, 3), "; "))
			return
		}
		m.enter(v1alpha1.UpgradeSoaking)
	}
	m.soak(t)
}

func first(list []string, most int) []string {
	if len(list) > most {
		return list[:most]
	}
	return list
}

func (m *machine) at() string { return fmt.Sprintf("step %d of %d: ", m.up.Step, m.up.Steps) }

// tell writes the numbers of a look into the status; more moved is progress.
func (m *machine) tell(t tally) {
	if int32(t.moved) > m.up.Moved {
		m.progress()
	}
	m.up.Moved = int32(t.moved)
	m.up.Remaining = first(append(append([]string(nil), t.waiting...), t.stuck...), mostRemaining)
}

// soak waits until the analysis has found all well for long enough.
func (m *machine) soak(t tally) {
	if t.moving > 0 || len(t.waiting) > 0 {
		// Something came or fell over since: it is moved before the next step.
		m.enter(v1alpha1.UpgradeMoving)
		return
	}
	if !m.promoted() {
		switch {
		case m.Verdict.Bad != "":
			m.undo(m.at() + m.Verdict.Bad)
			return
		case !m.Verdict.Good:
			m.up.SoakTime = nil
			if m.late() {
				m.undo(fmt.Sprintf("%sthe analysis did not find all well within %s: %s", m.at(), m.settings.deadline, m.Verdict.Missing))
				return
			}
			m.say(m.at() + "the analysis waits: " + m.Verdict.Missing)
			return
		}
		if m.up.SoakTime == nil {
			m.up.SoakTime = stamp(m.Now)
		}
		if left := m.settings.steps[m.stepIndex()].soak - m.Now.Sub(m.up.SoakTime.Time); left > 0 {
			m.say(m.at() + "all is well; what comes next begins at " + m.Now.Add(left).UTC().Format(time.TimeOnly) + " UTC")
			return
		}
	}
	if m.held() {
		return
	}
	switch {
	case int(m.up.Step) < len(m.settings.steps):
		m.step(int(m.up.Step) + 1)
	case m.all() || m.covers():
		m.enter(v1alpha1.UpgradeGateways)
		m.gateways()
	default:
		m.enter(v1alpha1.UpgradeHolding)
		m.hold()
	}
}

// stepIndex stays within the steps when the user takes some away.
func (m *machine) stepIndex() int { return max(0, min(int(m.up.Step), len(m.settings.steps))-1) }

// all says whether every workload belongs to the new revision, also future ones.
func (m *machine) all() bool {
	to := m.upTo()
	return to != nil && *to == placement.Last
}

// covers says whether every workload that there is belongs to the new revision.
func (m *machine) covers() bool {
	for _, w := range m.Workloads {
		if !m.layout.Move.takes(w) {
			return false
		}
	}
	return true
}

// hold waits for more steps, or to be promoted.
func (m *machine) hold() {
	m.layout.Move = m.moves()
	m.tell(m.look(m.layout.Move))
	switch {
	case m.held():
	case m.promoted():
		m.step(len(m.settings.steps))
	case int(m.up.Step) < len(m.settings.steps):
		m.step(int(m.up.Step) + 1)
	default:
		m.say("all steps are done, and workloads remain; add a step, or set spec.upgradeStrategy.canary.promote: " + m.up.To)
	}
}

// gateways upgrades the gateways, and ends the upgrade when they serve.
func (m *machine) gateways() {
	m.layout.Move = m.moves()
	m.layout.Gateways = Gateways{Revision: m.up.To, Identity: m.up.Target}
	if !m.await(m.Name, "gateways") {
		return
	}
	m.layout.Entry, m.layout.Move = m.up.To, nil
	m.up, m.outcome = nil, Succeeded
}

// back undoes an upgrade: new pods get the old proxy at once, workloads that
// were restarted become what they were, gateways too.
func (m *machine) back() {
	from := m.layout.Entry
	m.layout.Move = nil
	m.layout.Gateways = Gateways{Revision: from, Identity: m.layout.Identities[from]}
	room := m.settings.atOnce(len(m.Workloads))
	for _, w := range m.Workloads {
		if !w.Settled {
			room--
		}
	}
	open := 0
	var remaining []string
	m.up.Moved = 0
	for _, w := range m.Workloads {
		marked, there := Marked(w.Mark, m.up.To), w.Pods[m.up.To] > 0
		if there {
			m.up.Moved++
		}
		switch {
		case !marked && !there && (w.Before == nil || w.Settled):
			continue
		case !marked && !w.Settled:
			open++
			remaining = append(remaining, w.String())
		case w.Stuck != "":
			remaining = append(remaining, w.String()+": "+w.Stuck)
		case w.Settled && w.Blocked != "":
			open++
			remaining = append(remaining, w.String()+": "+w.Blocked)
		case !m.layout.Equal(*m.Installed):
			open++ // new pods would get the new proxy again
		case !w.Settled:
			// What did not come up is undone at once: nothing that serves is lost by it.
			open++
			m.restarts = append(m.restarts, undone(w, from, marked))
		default:
			open++
			remaining = append(remaining, w.String())
			if room > 0 && m.there(from) {
				room--
				m.restarts = append(m.restarts, undone(w, from, marked))
			}
		}
	}
	m.up.Remaining = first(remaining, mostRemaining)
	if open == 0 && m.there(m.Name) {
		m.fail()
	}
}

// undone writes back what the template said before, so that its former pods
// stay or come back. A workload that came up with the new proxy by itself is
// restarted for the old revision.
func undone(w Workload, from string, marked bool) Restart {
	if !marked || w.Before == nil {
		return Restart{Workload: w.Workload, Mark: from}
	}
	return Restart{Workload: w.Workload, Mark: *w.Before}
}

// Marked says whether the annotation of a pod template says that a revision's
// proxy is to be there.
func Marked(mark, revision string) bool {
	of, _ := readMark(mark)
	return of == revision
}

// readMark takes the annotation of a pod template apart: REVISION, or
// REVISION/TRY from the second try on.
func readMark(mark string) (revision string, try int) {
	revision, text, again := strings.Cut(mark, "/")
	if !again {
		return revision, 1
	}
	try, err := strconv.Atoi(text)
	if err != nil {
		return revision, 1
	}
	return revision, try
}

func writeMark(revision string, try int, again bool) string {
	if !again {
		return revision
	}
	return revision + "/" + strconv.Itoa(try)
}
