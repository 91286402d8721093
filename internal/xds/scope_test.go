// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"slices"
	"testing"
)

// shop is a hub of one route configuration with hosts a and b: each with a short
// name, a cluster, and a wildcard for the rest.
func shop(t *testing.T, opts Options, sc *Scope) *server {
	t.Helper()
	if opts.Unknown == nil {
		opts.Unknown = unknownOf
	}
	s := serve(t, opts)
	s.hub.Publish(Batch{
		Set:     put("base", append(goods("a", "1"), append(goods("b", "1"), keyed(res(VirtualHostType, "80/*", "pass"), Rest), res(RouteType, "80", "1"), res(VirtualHostType, "80/none", "1"))...)...),
		Classes: []Class{{Key: "c", Layers: []Layer{"base"}, Scope: sc}},
	})
	return s
}

func keyed(r *Resource, key string) *Resource {
	r.Key = key
	return r
}

func goods(name, version string) []*Resource {
	full := name + ".ns"
	vh := keyed(res(VirtualHostType, "80/"+full, version), full)
	vh.Aliases, vh.Needs = []string{"80/" + name}, []string{"cluster-" + full}
	return []*Resource{vh, keyed(eds("cluster-"+full, version), full), endpoints("cluster-"+full, version)}
}

// began is a client that holds what its class starts with.
func began(t *testing.T, s *server, id, clusters, hosts string) *client {
	t.Helper()
	c := s.connect(t, "c", id)
	c.subscribe(ClusterType)
	c.take("Cluster" + clusters)
	c.subscribe(RouteType, "80")
	c.take("RouteConfiguration 80=1")
	c.subscribe(VirtualHostType)
	c.take("VirtualHost" + hosts)
	return c
}

func TestAClientHoldsWhatItsClassAskedFor(t *testing.T) {
	s := shop(t, Options{}, &Scope{Asks: true})
	c := began(t, s, "n1", "", " 80/none=1")
	d := began(t, s, "n2", "", " 80/none=1")

	c.subscribe(VirtualHostType, "80/A:8080")
	c.take("Cluster cluster-a.ns=1")
	c.take("VirtualHost 80/a.ns=1@80/A:8080,80/a")
	c.subscribe(EndpointType, "cluster-a.ns")
	c.take("ClusterLoadAssignment cluster-a.ns=1")
	c.quiet()

	// Other replicas hold it as well, in the order of any other change.
	m := d.expect("Cluster cluster-a.ns=1")
	d.subscribe(EndpointType, "cluster-a.ns")
	d.take("ClusterLoadAssignment cluster-a.ns=1")
	d.ack(m)
	d.take("VirtualHost 80/a.ns=1")
	d.quiet()

	// What is out of scope reaches nobody.
	if r := s.hub.Publish(Batch{Set: put("base", append(goods("b", "2"), goods("z", "1")...)...)}); r.Marked != 0 {
		t.Errorf("%d marks for what nobody sees", r.Marked)
	}
	if r := s.hub.Publish(Batch{Set: put("base", goods("a", "2")[0])}); r.Marked != 2 {
		t.Errorf("%d marks for a host that two clients see", r.Marked)
	}
	c.take("VirtualHost 80/a.ns=2")
	if got, want := s.hub.Lessons("c"), []Lesson{{VirtualHostType, "80/a.ns"}}; !slices.Equal(got, want) {
		t.Errorf("learned %v, want %v", got, want)
	}
	// The host names other clusters: they come and go with it.
	vh := goods("a", "3")[0]
	vh.Needs = []string{"cluster-b.ns"}
	s.hub.Publish(Batch{Set: put("base", vh)})
	c.take("Cluster cluster-b.ns=2")
	c.subscribe(EndpointType, "cluster-b.ns")
	c.take("ClusterLoadAssignment cluster-b.ns=2")
	c.take("VirtualHost 80/a.ns=3")
	c.take("Cluster -cluster-a.ns")
}

func TestClustersOnDemandAreLearned(t *testing.T) {
	s := shop(t, Options{}, &Scope{Asks: true})
	c := began(t, s, "n1", "", " 80/none=1")
	c.subscribe(ClusterType, "cluster-b.ns", "cluster-none")
	c.take("Cluster -cluster-none cluster-b.ns=1")
	c.subscribe(EndpointType, "cluster-b.ns")
	c.take("ClusterLoadAssignment cluster-b.ns=1")
	if got, want := s.hub.Lessons("c"), []Lesson{{ClusterType, "cluster-b.ns"}}; !slices.Equal(got, want) {
		t.Errorf("learned %v, want %v", got, want)
	}
	began(t, s, "n2", " cluster-b.ns=1", " 80/none=1")
}

func TestHostsThatDoNotExist(t *testing.T) {
	s := shop(t, Options{MaxUnknown: 2}, &Scope{Asks: true})
	c := began(t, s, "n1", "", " 80/none=1")
	c.subscribe(VirtualHostType, "80/x.example:80")
	c.take("VirtualHost 80/x.example=pass-80/x.example@80/x.example:80")
	c.subscribe(VirtualHostType, "80/late")
	c.take("VirtualHost 80/late=pass-80/late@80/late")
	// What becomes of their requests changes.
	s.hub.Publish(Batch{Set: put("base", keyed(res(VirtualHostType, "80/*", "block"), Rest))})
	c.take("VirtualHost 80/late=block-80/late 80/x.example=block-80/x.example")
	// One appears, under another name of its own.
	s.hub.Publish(Batch{Set: put("base", goods("late", "1")...)})
	m := c.expect("Cluster cluster-late.ns=1")
	c.take("VirtualHost -80/late")
	c.subscribe(EndpointType, "cluster-late.ns")
	c.take("ClusterLoadAssignment cluster-late.ns=1")
	c.ack(m)
	c.take("VirtualHost 80/late.ns=1")
	// Beyond the bound the client holds all hosts, and what is for the rest.
	c.subscribe(VirtualHostType, "80/y.example")
	c.take("VirtualHost 80/y.example=block-80/y.example@80/y.example")
	c.subscribe(VirtualHostType, "80/z.example")
	c.take("Cluster cluster-a.ns=1 cluster-b.ns=1")
	c.take("VirtualHost 80/*=block@80/z.example")
}

func TestAScopeWithoutQuestions(t *testing.T) {
	s := shop(t, Options{}, &Scope{Keys: []string{"a.ns"}})
	c := began(t, s, "n1", " cluster-a.ns=1", " 80/*=pass 80/a.ns=1 80/none=1")
	c.subscribe(VirtualHostType, "80/b")
	c.take("VirtualHost 80/b=absent@80/b!")
	c.subscribe(ClusterType, "cluster-b.ns")
	c.take("Cluster -cluster-b.ns")
	c.quiet()
	s.hub.Publish(Batch{Classes: []Class{{Key: "c", Layers: []Layer{"base"}, Scope: &Scope{Keys: []string{"b.ns"}}}}})
	m := c.expect("Cluster cluster-b.ns=1")
	c.take("VirtualHost -80/a.ns")
	c.subscribe(EndpointType, "cluster-b.ns")
	c.take("ClusterLoadAssignment cluster-b.ns=1")
	c.ack(m)
	c.take("VirtualHost 80/b.ns=1")
	c.take("Cluster -cluster-a.ns")
}

func TestWhatAClientHoldsTeachesANewHub(t *testing.T) {
	s := shop(t, Options{}, &Scope{Asks: true})
	c := s.connect(t, "c", "n1")
	c.claim(ClusterType, map[string]string{"cluster-a.ns": "1", "cluster-b.ns": "1"}, "*", "cluster-b.ns")
	c.claim(EndpointType, map[string]string{"cluster-a.ns": "1", "cluster-b.ns": "1"}, "cluster-a.ns", "cluster-b.ns")
	c.claim(RouteType, map[string]string{"80": "1"}, "80")
	c.claim(VirtualHostType, map[string]string{"80/none": "1", "80/a.ns": "1", "80/x": "pass-80/x"}, "*", "80/a.ns", "80/x")
	c.quiet()
	if got, want := s.hub.Lessons("c"), []Lesson{{ClusterType, "cluster-b.ns"}, {VirtualHostType, "80/a.ns"}}; !slices.Equal(got, want) {
		t.Errorf("learned %v, want %v", got, want)
	}
	// One that held everything learned nothing.
	s = shop(t, Options{}, &Scope{Asks: true})
	c = s.connect(t, "c", "n1")
	c.claim(ClusterType, map[string]string{"cluster-a.ns": "1"}, "*")
	c.claim(RouteType, map[string]string{"80": "1"}, "80")
	c.claim(VirtualHostType, map[string]string{"80/none": "1", "80/a.ns": "1", "80/*": "pass"}, "*")
	c.take("VirtualHost -80/* -80/a.ns")
	c.take("Cluster -cluster-a.ns")
	if got := s.hub.Lessons("c"); len(got) != 0 {
		t.Errorf("learned %v from one that held everything", got)
	}
}

func TestAClassThatLearnedTooMuchSeesEverything(t *testing.T) {
	s := shop(t, Options{MaxLessons: 3}, &Scope{Asks: true, Lessons: []Lesson{{VirtualHostType, "80/gone"}}})
	var all []*Resource
	for i := range 5 {
		all = append(all, keyed(res(ClusterType, fmt.Sprint("c", i), "1"), "k"))
	}
	s.hub.Publish(Batch{Set: put("base", all...)})
	c := began(t, s, "n1", "", " 80/none=1")
	c.subscribe(ClusterType, "c0")
	c.take("Cluster c0=1")
	c.subscribe(ClusterType, "c1", "c2") // What is gone is forgotten first.
	c.take("Cluster c1=1 c2=1")
	c.subscribe(ClusterType, "c3")
	m := c.expect("Cluster c3=1 c4=1 cluster-a.ns=1 cluster-b.ns=1")
	c.subscribe(EndpointType, "cluster-a.ns", "cluster-b.ns")
	c.take("ClusterLoadAssignment cluster-a.ns=1 cluster-b.ns=1")
	c.ack(m)
	c.take("VirtualHost 80/*=pass 80/a.ns=1 80/b.ns=1")
	c.quiet()
}

func TestWhatAClassThatMayNotAskSees(t *testing.T) {
	pattern := keyed(eds("cluster-any", "1"), "*.ns")
	pattern.Leads = true
	tcp := keyed(res(ListenerType, "10.0.0.1_3306", "1"), "a.ns")
	tcp.Leads, tcp.Needs = true, []string{"cluster-b.ns"}
	s := shop(t, Options{}, &Scope{Asks: true})
	s.hub.Publish(Batch{
		Set: append(put("base", pattern), put("base", tcp)...),
		Classes: []Class{
			{Key: "listed", Layers: []Layer{"base"}, Scope: &Scope{Keys: []string{"a.ns"}}},
			{Key: "none", Layers: []Layer{"base"}, Scope: &Scope{}},
		},
	})
	for class, want := range map[string]string{
		"c":      "Cluster cluster-any=1",                 // a pattern cannot be asked for, a listener's clusters can
		"listed": "Cluster cluster-a.ns=1 cluster-b.ns=1", // what the host needs and what its listener needs
		"none":   "Cluster",
	} {
		c := s.connect(t, class, "n-"+class)
		c.subscribe(ClusterType)
		c.take(want)
	}
	c := s.connect(t, "listed", "n2")
	c.subscribe(ClusterType)
	c.take("Cluster cluster-a.ns=1 cluster-b.ns=1")
	s.hub.Publish(Batch{Delete: []Removal{{Layer: "base", Type: ListenerType, Name: tcp.Name}}})
	c.take("Cluster -cluster-b.ns")
}

func TestAClassIsTaught(t *testing.T) {
	s := shop(t, Options{}, &Scope{Asks: true})
	s.hub.Publish(Batch{Classes: []Class{{Key: "full", Layers: []Layer{"base"}}, {Key: "listed", Layers: []Layer{"base"}, Scope: &Scope{Keys: []string{"a.ns"}}}}})
	c := began(t, s, "n1", "", " 80/none=1")
	lessons := []Lesson{{ClusterType, "cluster-b.ns"}, {VirtualHostType, "80/a.ns"}, {VirtualHostType, "80/gone"}}
	for _, class := range []string{"c", "full", "listed", "nobody"} {
		s.hub.Teach(class, lessons)
	}
	c.take("Cluster cluster-a.ns=1 cluster-b.ns=1")
	c.subscribe(EndpointType, "cluster-a.ns", "cluster-b.ns")
	c.take("ClusterLoadAssignment cluster-a.ns=1 cluster-b.ns=1")
	c.take("VirtualHost 80/a.ns=1")
	c.quiet()
	if got := s.hub.Learned(); !slices.Equal(got, []string{"c"}) {
		t.Errorf("%v learned something, want c", got)
	}
	s.hub.Teach("c", lessons)
	if got := s.hub.Learned(); len(got) > 0 {
		t.Errorf("%v learned what they knew", got)
	}
	if got := s.hub.Extant(lessons); !slices.Equal(got, lessons[:2]) {
		t.Errorf("%v exists, want %v", got, lessons[:2])
	}
}

// TestAScopeThatTellsPartsApart: of a part that a scope lists the class sees what is
// listed there and nothing else, also of what comes later, and what moves to it.
func TestAScopeThatTellsPartsApart(t *testing.T) {
	of := func(key, part, version string) *Resource {
		r := keyed(res(ClusterType, key+part, version), key)
		r.Part = part
		return r
	}
	s := serve(t, Options{})
	everything := []*Resource{of("a", "80", "1"), of("a", "81", "1"), of("b", "80", "1"), of("b", "81", "1")}
	s.hub.Publish(Batch{Set: put("base", everything...), Classes: []Class{
		{Key: "c", Layers: []Layer{"base"}, Scope: &Scope{Keys: []string{"a"}, Parts: []Part{{Name: "81", Keys: []string{"b"}}}}},
		{Key: "all", Layers: []Layer{"base"}, Scope: &Scope{All: true, Parts: []Part{{Name: "80", Keys: []string{"b"}}, {Name: "81", All: true}}}},
	}})
	c, all := s.connect(t, "c", "n1"), s.connect(t, "all", "n2")
	c.subscribe(ClusterType)
	c.take("Cluster a80=1 b81=1")
	all.subscribe(ClusterType)
	all.take("Cluster a81=1 b80=1 b81=1")

	if r := s.hub.Publish(Batch{Set: put("base", of("a", "81", "2"), of("b", "80", "2"))}); r.Marked != 2 {
		t.Errorf("%d were told of what one class sees", r.Marked)
	}
	all.take("Cluster a81=2 b80=2")
	if r := s.hub.Publish(Batch{Set: put("base", of("a", "82", "1"))}); r.Marked != 2 {
		t.Errorf("%d were told of what both see", r.Marked)
	}
	c.take("Cluster a82=1")
	all.take("Cluster a82=1")

	moved := of("a", "81", "3")
	moved.Name = "a80"
	s.hub.Publish(Batch{Set: put("base", moved)})
	c.take("Cluster -a80")
	all.take("Cluster a80=3")
	s.hub.Publish(Batch{Classes: []Class{{Key: "c", Layers: []Layer{"base"}, Scope: &Scope{Keys: []string{"a"}, Parts: []Part{{Name: "80"}}}}}})
	c.take("Cluster -b81 a80=3 a81=2")
}
