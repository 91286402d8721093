// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"testing"
	"time"
)

func owned(r *Resource, owners ...string) *Resource {
	r.Owners = owners
	return r
}

// reach waits until an owner is as far as it should be: answers are taken in by the
// goroutines of the streams.
func (s *server) reach(t *testing.T, owner, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		p := s.hub.Progress(owner)
		settled, _ := s.hub.Settled(owner)
		if got = fmt.Sprintf("%d/%d %v %s", p.Current, p.Proxies, settled, p.Laggard); got == want {
			return
		}
	}
	t.Errorf("%s: got %q, want %q", owner, got, want)
}

func TestProgressOfAnOwner(t *testing.T) {
	s := one(t, Options{}, owned(res(ClusterType, "c1", "1"), "rule"), res(ClusterType, "c2", "1"))
	s.reach(t, "rule", "0/0 true ")
	a, b := s.connect(t, "a", "n1"), s.connect(t, "a", "n2")
	a.subscribe(ClusterType)
	a.take("Cluster c1=1 c2=1")
	s.reach(t, "rule", "1/1 true ")
	b.subscribe(ClusterType)
	m := b.expect("Cluster c1=1 c2=1")
	s.reach(t, "rule", "1/2 false n2")
	b.ack(m)
	s.reach(t, "rule", "2/2 true ")
	_, before := s.hub.Settled("rule")

	// A second resource and another owner of the first.
	s.hub.Publish(Batch{Set: put("base", owned(res(ClusterType, "c1", "2"), "rule", "other"), owned(res(ClusterType, "c3", "1"), "rule"))})
	if _, after := s.hub.Settled("rule"); after == before {
		t.Error("a change of the resources is no change of the owner")
	}
	m = a.expect("Cluster c1=2 c3=1")
	s.reach(t, "rule", "0/2 false n1")
	a.ack(m)
	s.reach(t, "rule", "1/2 false n2")
	s.reach(t, "other", "1/2 false n2")
	b.nack(b.expect("Cluster c1=2 c3=1"), "c3: no")
	s.reach(t, "rule", "1/2 false n2")
	b.take("Cluster c1=2")
	s.reach(t, "other", "2/2 true ")
	s.reach(t, "rule", "1/2 false n2")

	// A proxy that leaves is not waited for; an owner without resources is forgotten.
	b.cancel()
	s.reach(t, "rule", "1/1 true ")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ClusterType, "c1"}, {"base", ClusterType, "c3"}}})
	if len(s.hub.tallies) != 0 {
		t.Errorf("%d owners are followed", len(s.hub.tallies))
	}
	a.take("Cluster -c1 -c3")
	s.hub.Moved()
	if got := s.hub.Moved(); len(got) != 0 {
		t.Errorf("moved again: %v", got)
	}
}

// TestProgressInLayers: a proxy counts for the version that it sees.
func TestProgressInLayers(t *testing.T) {
	s := serve(t, Options{})
	s.hub.Publish(Batch{
		Set: append(put("base", owned(res(ClusterType, "c1", "1"), "rule")), put("own", owned(res(ClusterType, "c1", "own"), "special"))...),
		Classes: []Class{
			{Key: "plain", Layers: []Layer{"base"}}, {Key: "special", Layers: []Layer{"base", "own"}},
		},
	})
	a, b := s.connect(t, "plain", "n1"), s.connect(t, "special", "n2")
	a.subscribe(ClusterType)
	b.subscribe(ClusterType)
	a.take("Cluster c1=1")
	b.take("Cluster c1=own")
	s.reach(t, "rule", "1/1 true ")
	s.reach(t, "special", "1/1 true ")
	s.hub.Publish(Batch{Delete: []Removal{{"own", ClusterType, "c1"}}})
	m := b.expect("Cluster c1=1")
	s.reach(t, "rule", "1/2 false n2")
	b.ack(m)
	s.reach(t, "rule", "2/2 true ")
}

// TestProgressOfAReconnect: what a proxy says to hold counts.
func TestProgressOfAReconnect(t *testing.T) {
	s := one(t, Options{}, owned(res(ClusterType, "c1", "1"), "rule"))
	a := s.connect(t, "a", "n1")
	a.claim(ClusterType, map[string]string{"c1": "1"})
	s.reach(t, "rule", "1/1 true ")
}
