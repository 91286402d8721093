// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	const self, other = "a/1", "b/1"
	own := func(edit func(*Entry)) *Entry {
		e := &Entry{UID: "u", Version: "7", Registered: true, Controller: self, Connected: noon.Add(-time.Hour), Digest: "d"}
		if edit != nil {
			edit(e)
		}
		return e
	}
	for _, c := range []struct {
		name  string
		scene scene
		want  action
		again time.Duration
	}{
		{"a machine connects for the first time", scene{present: true, digest: "d"}, create, 0},
		{"a machine of a group that is gone", scene{present: true}, nothing, 0},
		{"a machine that is as it should be", scene{entry: own(nil), present: true, digest: "d"}, nothing, 0},
		{"its group changed", scene{entry: own(nil), present: true, digest: "new"}, claim, 0},
		{"its group is gone", scene{entry: own(nil), present: true}, nothing, 0},
		{
			"it came back in time",
			scene{entry: own(func(e *Entry) { e.Disconnected = noon.Add(-time.Second) }), present: true, digest: "d"},
			claim, 0,
		},
		{
			"it came from another replica",
			scene{entry: own(func(e *Entry) { e.Controller = other }), present: true, digest: "d", since: noon},
			claim, 0,
		},
		{
			"it went to another replica, and the stream here was not found dead yet",
			scene{entry: own(func(e *Entry) { e.Controller, e.Connected = other, noon.Add(time.Second) }), present: true, digest: "d", since: noon},
			nothing, 0,
		},
		{
			"it went to another replica, which died",
			scene{
				entry:   own(func(e *Entry) { e.Controller, e.Connected = other, noon.Add(-time.Second) }),
				present: true, digest: "d", since: noon.Add(-time.Minute), orphaned: noon.Add(-time.Second),
			},
			claim, 0,
		},
		{"its stream ended this moment", scene{entry: own(nil), left: noon}, nothing, settle},
		{"its stream ended a moment ago", scene{entry: own(nil), left: noon.Add(-settle)}, part, 0},
		{
			"its stream ended, and another replica has it",
			scene{entry: own(func(e *Entry) { e.Controller = other }), left: noon.Add(-settle)},
			nothing, 0,
		},
		{"it left this replica", scene{entry: own(func(e *Entry) { e.Disconnected = noon })}, nothing, Grace},
		{"the grace is over", scene{entry: own(func(e *Entry) { e.Disconnected = noon.Add(-Grace) })}, remove, 0},
		{
			"the grace is over at another replica",
			scene{entry: own(func(e *Entry) { e.Controller, e.Disconnected = other, noon.Add(-Grace) })},
			nothing, deference,
		},
		{
			"another replica did not delete it",
			scene{entry: own(func(e *Entry) { e.Controller, e.Disconnected = other, noon.Add(-Grace-deference) })},
			remove, 0,
		},
		{
			"a clock is ahead",
			scene{entry: own(func(e *Entry) { e.Disconnected = noon.Add(time.Hour) })},
			nothing, Grace + deference,
		},
		{
			"its replica is away for a moment",
			scene{entry: own(func(e *Entry) { e.Controller = other }), orphaned: noon.Add(-time.Second)},
			nothing, orphanhood - time.Second,
		},
		{
			"its replica is away for good",
			scene{entry: own(func(e *Entry) { e.Controller = other }), orphaned: noon.Add(-orphanhood)},
			part, 0,
		},
		{"it is another replica's", scene{entry: own(func(e *Entry) { e.Controller = other })}, nothing, 0},
		{"there is nothing", scene{}, nothing, 0},
		{
			"a user's entry of a machine that is connected",
			scene{entry: own(func(e *Entry) { e.Registered = false }), present: true, digest: "d"},
			nothing, 0,
		},
		{
			"a user's entry that says what one that was registered says",
			scene{entry: own(func(e *Entry) { e.Registered, e.Disconnected = false, noon.Add(-time.Hour) })},
			nothing, 0,
		},
		{
			"an entry that is being deleted",
			scene{entry: own(func(e *Entry) { e.Deleting, e.Disconnected = true, noon.Add(-time.Hour) })},
			nothing, 0,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.scene.self, c.scene.now = self, noon
			got, again := decide(c.scene)
			if got != c.want || again != c.again {
				t.Errorf("action %d again in %s, want %d in %s", got, again, c.want, c.again)
			}
		})
	}
}
