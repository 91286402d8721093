// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"slices"
	"testing"
)

func TestARefusedVersionIsNotSentAgain(t *testing.T) {
	events := &ledger{}
	s := one(t, Options{Events: events}, res(ClusterType, "c1", "good"), res(ClusterType, "c2", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType)
	c.take("Cluster c1=good c2=1")

	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c1", "bad"), res(ClusterType, "c2", "2"), res(ClusterType, "c3", "bad"))})
	c.nack(c.expect("Cluster c1=bad c2=2 c3=bad"), "Error adding/updating cluster(s) c1: no such thing, c3: no such thing")
	c.take("Cluster c2=2")
	c.quiet()
	var got []string
	for _, n := range events.nacks {
		got = append(got, fmt.Sprintf("%s %s %s=%s %v %v", n.Class, n.NodeID, n.Name, n.Version, n.Origins, n.Withheld))
	}
	want := []string{"a n1 c1=bad [origin of c1] true", "a n1 c3=bad [origin of c3] true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// A new proxy gets the last good version; the same content is no news.
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c1", "bad"))})
	d := s.connect(t, "a", "n2")
	d.subscribe(ClusterType)
	d.take("Cluster c1=good c2=2")
	d.quiet()
	c.quiet()

	// Other content is a new chance for everybody.
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c1", "better"), res(ClusterType, "c3", "better"))})
	c.take("Cluster c1=better c3=better")
	d.take("Cluster c1=better c3=better")
}

func TestTheCulpritIsFoundWithoutItsName(t *testing.T) {
	var all []*Resource
	for i := range 9 {
		all = append(all, res(RouteType, fmt.Sprint(80+i), "1"))
	}
	events := &ledger{}
	s := one(t, Options{Events: events}, all...)
	c := s.connect(t, "a", "n1")
	c.subscribe(RouteType, "80", "81", "82", "83", "84", "85", "86", "87", "88")
	held := map[string]bool{}
	refusals := 0
	for {
		m := c.next()
		if len(m.GetRemovedResources()) > 0 {
			// In the end the client is told that there is none of the two.
			if got := show(m); got != "RouteConfiguration -83 -88" {
				t.Errorf("got %s", got)
			}
			c.ack(m)
			break
		}
		bad := false
		for _, r := range m.GetResources() {
			bad = bad || r.GetName() == "83" || r.GetName() == "88"
		}
		if bad {
			refusals++
			c.nack(m, "a route of 80 entries refers to something unknown")
			continue
		}
		c.ack(m)
		for _, r := range m.GetResources() {
			held[r.GetName()] = true
		}
	}
	c.quiet()
	if held["83"] || held["88"] || len(held) != 7 {
		t.Errorf("client holds %v", sortedKeys(held))
	}
	var names []string
	for _, n := range events.nacks {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"83", "88"}) {
		t.Errorf("blamed %q", names)
	}
	if refusals > 10 {
		t.Errorf("%d responses refused to find two of nine", refusals)
	}
}

func TestAVersionThatOthersAcceptedIsKeptFromOneOnly(t *testing.T) {
	events := &ledger{}
	s := one(t, Options{Events: events}, res(ClusterType, "c1", "1"))
	old, young := s.connect(t, "a", "n1"), s.connect(t, "a", "n2")
	young.subscribe(ClusterType)
	young.take("Cluster c1=1")
	young.quiet()
	old.subscribe(ClusterType)
	old.nack(old.expect("Cluster c1=1"), "c1: unknown field")
	old.quiet()
	third := s.connect(t, "a", "n3")
	third.subscribe(ClusterType)
	third.take("Cluster c1=1")
	if len(events.nacks) != 1 || events.nacks[0].Withheld {
		t.Errorf("events %+v", events.nacks)
	}
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c1", "2"))})
	old.take("Cluster c1=2")
}

func TestALateAcceptanceLiftsTheRefusal(t *testing.T) {
	s := one(t, Options{}, res(ClusterType, "c1", "1"))
	a, b := s.connect(t, "a", "n1"), s.connect(t, "a", "n2")
	a.subscribe(ClusterType)
	b.subscribe(ClusterType)
	ma, mb := a.expect("Cluster c1=1"), b.expect("Cluster c1=1")
	a.nack(ma, "c1 is bad")
	a.quiet()
	c := s.connect(t, "a", "n3")
	c.subscribe(ClusterType)
	c.take("Cluster")
	c.quiet()
	b.ack(mb)
	c.take("Cluster c1=1")
	a.quiet()
}

func TestARefusedResourceRevealsTheLowerLayer(t *testing.T) {
	s := serve(t, Options{})
	s.hub.Publish(Batch{
		Set:     append(put("base", res(ListenerType, "l1", "low")), put("own", res(ListenerType, "l1", "bad"))...),
		Classes: []Class{{Key: "a", Layers: []Layer{"base", "own"}}},
	})
	c := s.connect(t, "a", "n1")
	c.subscribe(ListenerType)
	c.nack(c.expect("Listener l1=bad"), "l1: bad")
	c.take("Listener l1=low")
	c.quiet()
}

func TestARefusedRemovalIsNotRepeated(t *testing.T) {
	s := one(t, Options{}, res(ListenerType, "l1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ListenerType)
	c.take("Listener l1=1")
	c.quiet()
	s.hub.Publish(Batch{Delete: []Removal{{"base", ListenerType, "l1"}}})
	c.nack(c.expect("Listener -l1"), "no")
	c.quiet()
}

func TestMentions(t *testing.T) {
	for _, tc := range []struct {
		message, name string
		want          bool
	}{
		{"Error adding/updating cluster(s) outbound|80||a.b: bad", "outbound|80||a.b", true},
		{"Error adding/updating cluster(s) outbound|80||a.b.c: bad", "outbound|80||a.b", false},
		{"Error adding/updating cluster(s) xoutbound|80||a: bad", "outbound|80||a", false},
		{"xoutbound|80||a and outbound|80||a", "outbound|80||a", true},
		{"refused listener 0.0.0.0_8080.", "0.0.0.0_8080", true},
		{"route 80 is bad", "80", false},
		{"", "a", false},
	} {
		if got := mentions(tc.message, tc.name); got != tc.want {
			t.Errorf("mentions(%q, %q) = %v", tc.message, tc.name, got)
		}
	}
}

// TestWhatWasTakenOfARefusedResponse: Envoy takes the rest of it, so that goes when it
// is not wanted any more, and comes again when it is not certain.
func TestWhatWasTakenOfARefusedResponse(t *testing.T) {
	s := one(t, Options{}, res(ListenerType, "l1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ListenerType)
	c.take("Listener l1=1")

	s.hub.Publish(Batch{Set: put("base", res(ListenerType, "l2", "1"), res(ListenerType, "l3", "bad"))})
	refused := c.expect("Listener l2=1 l3=bad")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ListenerType, "l2"}, {"base", ListenerType, "l3"}}})
	c.nack(refused, "Error adding/updating listener(s) l3: no such address")
	c.take("Listener -l2")
	c.quiet()

	s.hub.Publish(Batch{Set: put("base", res(ListenerType, "l1", "2"), res(ListenerType, "l3", "bad"))})
	refused = c.expect("Listener l1=2 l3=bad")
	s.hub.Publish(Batch{Set: put("base", res(ListenerType, "l1", "1"))})
	c.nack(refused, "Error adding/updating listener(s) l3: no such address")
	c.take("Listener l1=1")
	c.quiet()
}
