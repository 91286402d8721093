// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"testing"
)

// hidden is a cluster with the name of an address.
func hidden(addr, version, of string) *Resource {
	r := keyed(eds(addr, version), of)
	r.EDS, r.Hidden = of, true
	return r
}

// harbour is a hub whose class "c" asks whose addresses are. The host db has one, and a
// listener for those who do not ask.
func harbour(t *testing.T, opts Options) *server {
	t.Helper()
	opts.Unknown = unknownOf
	s := serve(t, opts)
	rest := keyed(res(ClusterType, "unknown", "pass"), Rest)
	rest.Hidden = true
	s.hub.Publish(Batch{
		Set: append(put("base",
			rest, hidden("10.0.0.1:5432", "1", "db"), endpoints("db", "1"), keyed(res(ListenerType, "10.0.0.1_5432", "1"), "db"),
			res(ListenerType, "all", "1"), res(ExtensionConfigType, "addresses", "silent"),
		), put("asking", res(ExtensionConfigType, "addresses", "asks"))...),
		Classes: []Class{wondering},
	})
	return s
}

var wondering = Class{Key: "c", Layers: []Layer{"base"}, Scope: &Scope{Asks: true, Over: "asking"}}

// landed is a client that holds what its class begins with.
func landed(t *testing.T, s *server, id, clusters, listeners string) *client {
	t.Helper()
	c := s.connect(t, "c", id)
	c.subscribe(ClusterType)
	c.take("Cluster" + clusters)
	c.subscribe(ListenerType)
	c.take("Listener" + listeners)
	return c
}

// asksForDB asks for the address of the host db.
func (c *client) asksForDB() {
	c.subscribe(ClusterType, "10.0.0.1:5432")
	m := c.expect("Cluster 10.0.0.1:5432=1")
	c.subscribe(EndpointType, "db")
	c.take("ClusterLoadAssignment db=1")
	c.ack(m)
}

func TestAddressesAreAskedFor(t *testing.T) {
	s := harbour(t, Options{})
	c := landed(t, s, "n1", "", " all=1")
	d := landed(t, s, "n2", "", " all=1")
	c.asksForDB()
	d.take("Cluster 10.0.0.1:5432=1") // a replica learns
	c.subscribe(ClusterType, "10.0.0.2:5432", "gone")
	c.take("Cluster -gone 10.0.0.2:5432=pass-10.0.0.2:5432")
	d.take("Cluster 10.0.0.2:5432=pass-10.0.0.2:5432")
	if got, want := s.hub.Lessons("c"), []Lesson{{ClusterType, "10.0.0.1:5432"}}; !slices.Equal(got, want) {
		t.Errorf("learned %v, want %v", got, want)
	}
	// What is done with the unknown changes.
	rest := keyed(res(ClusterType, "unknown", "block"), Rest)
	rest.Hidden = true
	s.hub.Publish(Batch{Set: put("base", rest)})
	c.take("Cluster 10.0.0.2:5432=block-10.0.0.2:5432")
	d.take("Cluster 10.0.0.2:5432=block-10.0.0.2:5432")
	// Somebody gets the address, and gives it back.
	s.hub.Publish(Batch{Set: put("base", hidden("10.0.0.2:5432", "1", "db"))})
	c.take("Cluster 10.0.0.2:5432=1")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ClusterType, "10.0.0.2:5432"}}})
	c.take("ClusterLoadAssignment db=1") // that the changed cluster waited for
	c.take("Cluster 10.0.0.2:5432=block-10.0.0.2:5432")
}

func TestWhatNobodyAskedForIsHidden(t *testing.T) {
	s := harbour(t, Options{})
	s.hub.Publish(Batch{Classes: []Class{
		{Key: "full", Layers: []Layer{"base"}}, {Key: "listed", Layers: []Layer{"base"}, Scope: &Scope{Keys: []string{"db"}}},
	}})
	for class, extension := range map[string]string{"c": "asks", "full": "silent", "listed": "silent"} {
		c := s.connect(t, class, "n-"+class)
		c.subscribe(ClusterType)
		c.take("Cluster")
		c.subscribe(ExtensionConfigType, "addresses")
		c.take("TypedExtensionConfig addresses=" + extension)
		r := s.hub.Publish(Batch{Set: put("base", hidden("10.0.0.1:5432", "2-"+class, "db"), hidden("10.0.0.3:80", "1-"+class, "web"))})
		if r.Marked != 0 {
			t.Errorf("%d marks for what nobody asked for", r.Marked)
		}
		c.quiet()
	}
}

// TestConnectionsOutliveAScope: a proxy that holds everything from now on, or is told
// of less, keeps what connections go by.
func TestConnectionsOutliveAScope(t *testing.T) {
	for name, scope := range map[string]*Scope{"full": nil, "listed": {}} {
		s := harbour(t, Options{})
		c := landed(t, s, "n1", "", " all=1")
		d := landed(t, s, "n2", "", " all=1")
		c.asksForDB()
		d.take("Cluster 10.0.0.1:5432=1")
		c.subscribe(ClusterType, "10.0.0.2:5432")
		c.take("Cluster 10.0.0.2:5432=pass-10.0.0.2:5432")
		d.take("Cluster 10.0.0.2:5432=pass-10.0.0.2:5432")
		s.hub.Publish(Batch{Classes: []Class{{Key: "c", Layers: []Layer{"base"}, Scope: scope}}})
		if name == "full" {
			c.take("Listener 10.0.0.1_5432=1")
			d.take("Listener 10.0.0.1_5432=1")
		}
		c.quiet()
		d.quiet()
		s.hub.Publish(Batch{Set: put("base", hidden("10.0.0.1:5432", "2", "db"))})
		d.take("Cluster 10.0.0.1:5432=2")
	}
}

// TestListenersThatAreNotNeededAnyMoreStay, because their connections would end.
func TestListenersThatAreNotNeededAnyMoreStay(t *testing.T) {
	s := harbour(t, Options{})
	l := func(version string, leads bool) *Resource {
		r := keyed(res(ListenerType, "10.0.0.7_80", version), "web")
		r.Leads = leads
		return r
	}
	s.hub.Publish(Batch{Set: put("base", l("1", true))})
	c := landed(t, s, "n1", "", " 10.0.0.7_80=1 all=1")
	s.hub.Publish(Batch{Set: put("base", l("2", false))})
	c.take("Listener 10.0.0.7_80=2")
	landed(t, s, "n2", "", " all=1").quiet()
	s.hub.Publish(Batch{Set: put("base", l("3", false))})
	c.take("Listener 10.0.0.7_80=3")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ListenerType, "10.0.0.7_80"}}})
	c.take("Listener -10.0.0.7_80")
}

func TestAClassThatAskedForTooManyAddressesSeesEverything(t *testing.T) {
	s := harbour(t, Options{MaxUnknown: 1})
	c := landed(t, s, "n1", "", " all=1")
	c.subscribe(ExtensionConfigType, "addresses")
	c.take("TypedExtensionConfig addresses=asks")
	c.asksForDB()
	c.subscribe(ClusterType, "10.0.0.2:5432")
	c.take("Cluster 10.0.0.2:5432=pass-10.0.0.2:5432")
	c.subscribe(ClusterType, "10.0.0.3:5432")
	c.take("Cluster -10.0.0.3:5432")
	c.take("Listener 10.0.0.1_5432=1")
	c.take("TypedExtensionConfig addresses=silent")
	c.quiet()
}

// TestANewHubLearnsOfAddresses from clients that used them, those that asked and those
// that did not need to, even where nobody asks for hosts.
func TestANewHubLearnsOfAddresses(t *testing.T) {
	s := harbour(t, Options{})
	c := s.connect(t, "c", "n1")
	c.claim(ClusterType, map[string]string{"10.0.0.1:5432": "1"}, "*")
	c.quiet()
	if got, want := s.hub.Lessons("c"), []Lesson{{ClusterType, "10.0.0.1:5432"}}; !slices.Equal(got, want) {
		t.Errorf("learned %v, want %v", got, want)
	}
	d := s.connect(t, "c", "n2")
	d.claim(ClusterType, map[string]string{"10.0.0.2:5432": "pass-10.0.0.2:5432"}, "*", "10.0.0.2:5432")
	d.take("Cluster 10.0.0.1:5432=1")
	d.quiet()
	c.take("Cluster 10.0.0.2:5432=pass-10.0.0.2:5432")
}
