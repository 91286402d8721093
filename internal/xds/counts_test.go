// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"testing"
	"time"
)

func TestCounts(t *testing.T) {
	s := one(t, Options{}, res(ListenerType, "l1", "1"))
	expect := func(what string, want Counts) {
		t.Helper()
		// The last acknowledgement may be on its way.
		got, end := s.hub.Counts(), time.Now().Add(patience)
		for ; got != want && time.Now().Before(end); got = s.hub.Counts() {
			time.Sleep(time.Millisecond)
		}
		if got != want {
			t.Fatalf("%s: %+v, want %+v", what, got, want)
		}
	}
	expect("nobody", Counts{})
	c := s.connect(t, "a", "n1")
	c.subscribe(ListenerType)
	first := c.expect("Listener l1=1")
	expect("sent", Counts{Connected: 1})
	later := func() Counts { return s.hub.counts(time.Now().Add(patienceOfAnswer)) }
	if got, want := later(), (Counts{Connected: 1, Lagging: 1}); got != want {
		t.Errorf("long after: %+v, want %+v", got, want)
	}
	c.ack(first)
	c.quiet()
	expect("acknowledged", Counts{Connected: 1, Synced: 1})
	if got, want := later(), (Counts{Connected: 1, Synced: 1}); got != want {
		t.Errorf("long after it was acknowledged: %+v, want %+v", got, want)
	}

	// One whose class nobody made yet.
	other := s.connect(t, "b", "n2")
	other.subscribe(ListenerType)
	expect("another class", Counts{Connected: 2, Synced: 1})

	s.hub.Publish(Batch{Set: put("base", res(ListenerType, "l1", "2"))})
	c.nack(c.expect("Listener l1=2"), "bad")
	c.quiet()
	expect("refused", Counts{Connected: 2, Rejecting: 1})
	s.hub.Publish(Batch{Set: put("base", res(ListenerType, "l1", "3"))})
	c.take("Listener l1=3")
	c.quiet()
	expect("mended", Counts{Connected: 2, Synced: 1})

	// What was refused at first sight and is deleted is refused no more.
	s.hub.Publish(Batch{Set: put("base", res(ListenerType, "l2", "1"))})
	c.nack(c.expect("Listener l2=1"), "bad")
	c.quiet()
	expect("refused at first sight", Counts{Connected: 2, Rejecting: 1})
	s.hub.Publish(Batch{Delete: []Removal{{"base", ListenerType, "l2"}}})
	c.quiet()
	expect("deleted", Counts{Connected: 2, Synced: 1})
}
