// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
)

// one returns a server with the class "a" of the layer "base" that holds rs.
func one(t testing.TB, opts Options, rs ...*Resource) *server {
	t.Helper()
	s := serve(t, opts)
	s.hub.Publish(Batch{Set: put("base", rs...), Classes: []Class{{Key: "a", Layers: []Layer{"base"}}}})
	return s
}

func TestAdditionsWaitForWhatTheyReferTo(t *testing.T) {
	clock := &manual{}
	s := one(t, Options{Clock: clock}, eds("c1", "1"), res(EndpointType, "c1", "1"),
		res(ListenerType, "l1", "1"), res(RouteType, "80", "1"), res(VirtualHostType, "80/h1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType)
	c.subscribe(ListenerType)
	cds := c.expect("Cluster c1=1")
	c.quiet()
	c.subscribe(EndpointType, "c1")
	cla := c.expect("ClusterLoadAssignment c1=1")
	c.ack(cds)
	c.quiet()
	c.ack(cla)
	c.take("Listener l1=1")
	c.subscribe(RouteType, "80")
	rds := c.expect("RouteConfiguration 80=1")
	c.subscribe(VirtualHostType)
	c.quiet()
	c.ack(rds)
	c.take("VirtualHost 80/h1=1")

	// A new cluster and a route to it in one batch.
	s.hub.Publish(Batch{Set: put("base", eds("c2", "1"), res(EndpointType, "c2", "1"), res(VirtualHostType, "80/h1", "2"))})
	cds = c.expect("Cluster c2=1")
	c.subscribe(EndpointType, "c2")
	c.ack(cds)
	cla = c.expect("ClusterLoadAssignment c2=1")
	c.quiet()
	c.ack(cla)
	c.take("VirtualHost 80/h1=2")

	// Routes of a later batch do not wait for clusters that came with none.
	s.hub.Publish(Batch{Set: put("base", res(VirtualHostType, "80/h1", "3"))})
	c.take("VirtualHost 80/h1=3")
	c.quiet()
	if n := clock.fire(); n != 0 {
		t.Errorf("%d timers run although nothing is held back", n)
	}
}

func TestNothingWaitsForAClientForEver(t *testing.T) {
	clock := &manual{}
	s := one(t, Options{Clock: clock}, eds("c1", "1"), res(EndpointType, "c1", "1"), res(ListenerType, "l1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType)
	c.subscribe(ListenerType)
	c.expect("Cluster c1=1") // Never acknowledged.
	c.quiet()
	if clock.fire() != 1 {
		t.Fatal("no timer runs although the listener is held back")
	}
	c.take("Listener l1=1")
}

func TestClustersAreRemovedAfterRoutes(t *testing.T) {
	clock := &manual{}
	s := one(t, Options{Clock: clock}, eds("c1", "1"), res(EndpointType, "c1", "1"), res(RouteType, "80", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType)
	c.take("Cluster c1=1")
	c.subscribe(EndpointType, "c1")
	c.take("ClusterLoadAssignment c1=1")
	c.subscribe(RouteType, "80")
	c.take("RouteConfiguration 80=1")

	s.hub.Publish(Batch{
		Delete: []Removal{{"base", ClusterType, "c1"}, {"base", EndpointType, "c1"}},
		Set:    put("base", eds("c2", "1"), res(EndpointType, "c2", "1"), res(RouteType, "80", "2")),
	})
	c.take("Cluster c2=1")
	c.subscribe(EndpointType, "c2")
	c.take("ClusterLoadAssignment c2=1")
	rds := c.expect("RouteConfiguration 80=2")
	c.quiet()
	c.ack(rds)
	cds := c.expect("Cluster -c1")
	c.quiet()
	c.unsubscribe(EndpointType, "c1")
	c.ack(cds)
	c.quiet()

	// A client that never acknowledges its routes loses the cluster in the end.
	s.hub.Publish(Batch{Delete: []Removal{{"base", ClusterType, "c2"}}, Set: put("base", res(RouteType, "80", "3"))})
	c.expect("RouteConfiguration 80=3")
	c.quiet()
	clock.fire()
	c.take("Cluster -c2")
}

// TestFiltersKeepTheirConfiguration: listeners that are going have connections left.
func TestFiltersKeepTheirConfiguration(t *testing.T) {
	s := one(t, Options{}, res(ListenerType, "l1", "1"), res(ExtensionConfigType, "f", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ListenerType)
	c.take("Listener l1=1")
	c.subscribe(ExtensionConfigType, "f")
	c.take("TypedExtensionConfig f=1")

	s.hub.Publish(Batch{Delete: []Removal{{"base", ExtensionConfigType, "f"}}, Set: put("base", res(ListenerType, "l1", "2"))})
	c.take("Listener l1=2")
	c.quiet()
	s.hub.Publish(Batch{Set: put("base", res(ExtensionConfigType, "f", "2"))})
	c.take("TypedExtensionConfig f=2")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ExtensionConfigType, "f"}}})
	c.unsubscribe(ExtensionConfigType, "f")
	c.quiet()
}

func TestEndpointsAreAnnouncedAgainAfterTheirClusterChanged(t *testing.T) {
	s := one(t, Options{}, eds("c1", "1"), res(EndpointType, "c1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType)
	c.take("Cluster c1=1")
	c.subscribe(EndpointType, "c1")
	c.take("ClusterLoadAssignment c1=1")
	c.quiet()
	// Envoy acknowledges a changed cluster only when it has endpoints again.
	s.hub.Publish(Batch{Set: put("base", eds("c1", "2"))})
	cds := c.expect("Cluster c1=2")
	c.take("ClusterLoadAssignment c1=1")
	c.ack(cds)
	c.quiet()

	// Endpoints that were under way when the cluster changed are of no use.
	s.hub.Publish(Batch{Set: put("base", res(EndpointType, "c1", "2"))})
	cla := c.expect("ClusterLoadAssignment c1=2")
	s.hub.Publish(Batch{Set: put("base", eds("c1", "3"))})
	cds = c.expect("Cluster c1=3")
	c.ack(cla)
	c.take("ClusterLoadAssignment c1=2")
	c.ack(cds)
	c.quiet()
}

func TestEndpointsFollowAClusterThatChangedWhileDisconnected(t *testing.T) {
	s := one(t, Options{}, eds("c1", "2"), eds("c2", "1"), res(EndpointType, "c1", "1"), res(EndpointType, "c2", "1"))
	c := s.connect(t, "a", "n1")
	c.claim(ClusterType, map[string]string{"c1": "1", "c2": "1"})
	c.expect("Cluster c1=2")
	c.claim(EndpointType, map[string]string{"c1": "1", "c2": "1"}, "c1", "c2")
	c.take("ClusterLoadAssignment c1=1")
	c.quiet()
}

func TestAFirstRequestIsAnsweredEvenIfThereIsNothing(t *testing.T) {
	s := one(t, Options{})
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType)
	c.take("Cluster")
	c.subscribe(ListenerType, "*")
	c.take("Listener")
	c.quiet()
	d := s.connect(t, "a", "n2")
	d.claim(ClusterType, map[string]string{"gone": "1"})
	d.take("Cluster -gone")
	d.quiet()
}

func TestReconnectSendsOnlyWhatDiffers(t *testing.T) {
	s := one(t, Options{}, res(ClusterType, "same", "1"), res(ClusterType, "newer", "2"), res(ClusterType, "fresh", "1"),
		res(EndpointType, "e1", "1"), res(EndpointType, "e2", "1"))
	c := s.connect(t, "a", "n1")
	c.claim(ClusterType, map[string]string{"same": "1", "newer": "1", "gone": "1"})
	c.take("Cluster -gone fresh=1 newer=2")
	c.claim(EndpointType, map[string]string{"e1": "1", "e2": "0", "e3": "1", "unasked": "1"}, "e1", "e2", "e3")
	c.take("ClusterLoadAssignment -e3 e2=1")
	c.quiet()
}

func TestReconnectWaitsForTheClass(t *testing.T) {
	s := serve(t, Options{})
	c := s.connect(t, "a", "n1")
	c.claim(ClusterType, map[string]string{"same": "1", "gone": "1"})
	c.claim(EndpointType, nil, "e1")
	c.subscribe(probeType, "unanswered")
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "same", "1"), res(ClusterType, "fresh", "1"), res(EndpointType, "e1", "1"))})
	s.hub.Publish(Batch{Classes: []Class{{Key: "a", Layers: []Layer{"base"}}}})
	got := []string{show(c.next()), show(c.next()), show(c.next())}
	slices.Sort(got)
	want := []string{"Cluster -gone fresh=1", "ClusterLoadAssignment e1=1", "Probe -unanswered"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A client that no longer asks for a name still wants all there is, and keeps
// what it claims to hold until it is told that there is none.
func TestReconnectForgetsBeforeTheClassIsKnown(t *testing.T) {
	s := serve(t, Options{})
	c := s.connect(t, "a", "n1")
	c.claim(ClusterType, map[string]string{"missed": "1"}, wildcard, "missed")
	c.unsubscribe(ClusterType, "missed")
	c.subscribe(probeType, "unanswered")
	s.hub.Publish(Batch{Set: put("base", res(ListenerType, "l1", "1"))})
	waitFor(t, func() bool {
		s.hub.mu.RLock()
		defer s.hub.mu.RUnlock()
		probes := s.hub.tables[probeType]
		return probes != nil && probes.byText["unanswered"] != nil
	})
	s.hub.Publish(Batch{Classes: []Class{{Key: "a", Layers: []Layer{"base"}}}})
	got := []string{show(c.next()), show(c.next())}
	slices.Sort(got)
	if want := []string{"Cluster -missed", "Probe -unanswered"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASlowReaderIsSentTheNewestOnly(t *testing.T) {
	s := one(t, Options{}, res(ClusterType, "c1", "1"))
	slow, fast := s.connect(t, "a", "n1"), s.connect(t, "a", "n2")
	slow.subscribe(ClusterType)
	fast.subscribe(ClusterType)
	first := slow.expect("Cluster c1=1")
	fast.take("Cluster c1=1")
	for _, v := range []string{"2", "3", "4", "5"} {
		s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c1", v), res(ClusterType, "c2", v))})
		fast.take("Cluster c1=" + v + " c2=" + v)
	}
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c3", "1")), Delete: []Removal{{"base", ClusterType, "c2"}}})
	fast.take("Cluster -c2 c3=1")
	slow.quiet()
	slow.ack(first)
	slow.take("Cluster c1=5 c3=1")
	slow.quiet()
}

func TestLayersHideAndReveal(t *testing.T) {
	s := serve(t, Options{})
	s.hub.Publish(Batch{
		Set:     append(put("base", res(ClusterType, "x", "low"), res(ClusterType, "y", "low")), put("own", res(ClusterType, "x", "high"))...),
		Classes: []Class{{Key: "a", Layers: []Layer{"base", "own"}}, {Key: "b", Layers: []Layer{"base"}}},
	})
	a, b := s.connect(t, "a", "n1"), s.connect(t, "b", "n2")
	a.subscribe(ClusterType)
	b.subscribe(ClusterType)
	a.take("Cluster x=high y=low")
	b.take("Cluster x=low y=low")
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "x", "low2"))})
	b.take("Cluster x=low2")
	a.quiet()
	s.hub.Publish(Batch{Delete: []Removal{{"own", ClusterType, "x"}}})
	a.take("Cluster x=low2")
	b.quiet()
	s.hub.Publish(Batch{Set: put("own", res(ClusterType, "x", "high2"), res(ClusterType, "z", "high"))})
	a.take("Cluster x=high2 z=high")
	b.quiet()

	// A class gets other layers.
	s.hub.Publish(Batch{Set: put("extra", res(ClusterType, "y", "extra")), Classes: []Class{{Key: "b", Layers: []Layer{"base", "extra", "own"}}}})
	b.take("Cluster x=high2 y=extra z=high")
	s.hub.Publish(Batch{Classes: []Class{{Key: "b", Layers: []Layer{"extra"}}}})
	b.take("Cluster -x -z")
	// A dropped class withdraws nothing.
	s.hub.Publish(Batch{DropClasses: []string{"b"}})
	s.hub.Publish(Batch{Delete: []Removal{{"extra", ClusterType, "y"}}, Set: put("base", res(ClusterType, "x", "low3"))})
	a.quiet()
	s.hub.Publish(Batch{Classes: []Class{{Key: "b", Layers: []Layer{"base"}}}})
	b.take("Cluster x=low3 y=low")
}

func TestHostsFollowTheirRouteConfiguration(t *testing.T) {
	s := one(t, Options{}, res(RouteType, "80", "1"), res(RouteType, "81", "1"),
		res(VirtualHostType, "80/a", "1"), res(VirtualHostType, "81/a", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(RouteType, "80")
	rds := c.expect("RouteConfiguration 80=1")
	c.subscribe(VirtualHostType)
	c.quiet()
	c.ack(rds)
	c.take("VirtualHost 80/a=1")
	// A route configuration that comes later makes no new request for hosts.
	c.subscribe(RouteType, "81")
	c.take("RouteConfiguration 81=1")
	c.take("VirtualHost 81/a=1")
	// An update of a route configuration keeps its hosts.
	s.hub.Publish(Batch{Set: put("base", res(RouteType, "81", "2"), res(VirtualHostType, "81/b", "1"))})
	c.take("RouteConfiguration 81=2")
	c.take("VirtualHost 81/b=1")
	c.quiet()
	// One that goes takes its hosts with it, and they follow it back.
	c.unsubscribe(RouteType, "81")
	c.take("VirtualHost -81/a -81/b")
	c.subscribe(RouteType, "81")
	rds = c.expect("RouteConfiguration 81=2")
	c.quiet()
	c.ack(rds)
	c.take("VirtualHost 81/a=1 81/b=1")
	c.quiet()
}

// takeRoutes subscribes to route configuration 80 and to hosts, and takes both.
func (c *client) takeRoutes(hosts string) {
	c.t.Helper()
	c.subscribe(RouteType, "80")
	c.take("RouteConfiguration 80=1")
	c.subscribe(VirtualHostType)
	c.take("VirtualHost " + hosts)
}

func TestHostsFollowARouteConfigurationThatIsAskedForAgain(t *testing.T) {
	s := one(t, Options{}, res(RouteType, "80", "1"), res(VirtualHostType, "80/a", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(RouteType, "80")
	c.take("RouteConfiguration 80=1")
	c.subscribe(VirtualHostType)
	hosts := c.expect("VirtualHost 80/a=1")
	// The listener that used it went, another came, and Envoy asks once for both.
	c.subscribe(RouteType, "80")
	routes := c.expect("RouteConfiguration 80=1+")
	c.ack(hosts)
	c.quiet()
	c.ack(routes)
	c.take("VirtualHost 80/a=1")
	c.take("RouteConfiguration 80=1")
	c.quiet()
	// The same in two steps, while hosts are on their way.
	s.hub.Publish(Batch{Set: put("base", res(VirtualHostType, "80/b", "1"))})
	hosts = c.expect("VirtualHost 80/b=1")
	c.unsubscribe(RouteType, "80")
	c.subscribe(RouteType, "80")
	routes = c.expect("RouteConfiguration 80=1+")
	c.ack(hosts)
	c.quiet() // Removals would tell a listener that there are no hosts to wait for.
	c.ack(routes)
	c.take("VirtualHost 80/a=1 80/b=1")
	c.take("RouteConfiguration 80=1")
	c.quiet()
}

func TestHostsThatAClientHoldsInVainAreSentAgain(t *testing.T) {
	all := []*Resource{res(RouteType, "80", "1"), res(RouteType, "81", "1"), res(VirtualHostType, "80/a", "1"), res(VirtualHostType, "81/a", "1")}
	hosts := map[string]string{"80/a": "1", "81/a": "1"}
	t.Run("the route configuration was held", func(t *testing.T) {
		c := one(t, Options{}, all...).connect(t, "a", "n1")
		c.claim(RouteType, map[string]string{"80": "1", "81": "0"}, "80", "81")
		c.claim(VirtualHostType, hosts)
		c.take("RouteConfiguration 81=1")
		c.quiet()
	})
	t.Run("the route configuration is new", func(t *testing.T) {
		c := one(t, Options{}, all...).connect(t, "a", "n1")
		c.claim(RouteType, map[string]string{"80": "1"}, "80", "81")
		c.claim(VirtualHostType, hosts)
		c.take("RouteConfiguration 81=1+")
		c.take("VirtualHost 81/a=1")
		c.take("RouteConfiguration 81=1")
		c.quiet()
	})
	t.Run("the hosts are claimed after the acknowledgement", func(t *testing.T) {
		c := one(t, Options{}, all...).connect(t, "a", "n1")
		c.claim(RouteType, map[string]string{"80": "1"}, "80", "81")
		c.take("RouteConfiguration 81=1+")
		c.claim(VirtualHostType, hosts)
		c.take("VirtualHost 81/a=1")
		c.take("RouteConfiguration 81=1")
		c.quiet()
	})
	t.Run("the stream ended before the hosts were acknowledged", func(t *testing.T) {
		c := one(t, Options{}, all...).connect(t, "a", "n1")
		c.claim(RouteType, map[string]string{"80": "1", "81": "1+"}, "80", "81")
		c.claim(VirtualHostType, hosts)
		c.take("RouteConfiguration 81=1+")
		c.take("VirtualHost 81/a=1")
		c.take("RouteConfiguration 81=1")
		c.quiet()
	})
}

func TestNamesOnDemand(t *testing.T) {
	s := one(t, Options{}, res(RouteType, "80", "1"), res(VirtualHostType, "80/placeholder", "1"))
	s.hub.Publish(Batch{
		Set:     put("all", res(VirtualHostType, "80/b", "1"), res(ClusterType, "c1", "1"), res(EndpointType, "c1", "1")),
		Classes: []Class{{Key: "a", Layers: []Layer{"base", "all"}}},
	})
	c := s.connect(t, "a", "n1")
	c.subscribe(RouteType, "80")
	c.take("RouteConfiguration 80=1")
	c.subscribe(VirtualHostType, "80/none", "80/b") // Without "*", it is no wildcard.
	c.take("VirtualHost 80/b=1@80/b 80/none=absent@80/none!")
	// Asked again, it is answered again.
	c.subscribe(VirtualHostType, "80/none")
	c.take("VirtualHost 80/none=absent@80/none!")
	// What was absent and appears is sent.
	s.hub.Publish(Batch{Set: put("all", res(VirtualHostType, "80/none", "1"), res(VirtualHostType, "80/other", "1"))})
	c.take("VirtualHost 80/none=1@80/none")
	c.subscribe(ClusterType, "c1", "c2")
	c.take("Cluster -c2 c1=1")
	c.subscribe(EndpointType, "c1")
	c.take("ClusterLoadAssignment c1=1")
	s.hub.Publish(Batch{Set: put("all", res(ClusterType, "c2", "1"), res(ClusterType, "c3", "1"), res(EndpointType, "c2", "1"))})
	c.take("Cluster c2=1")
	c.quiet()
}

// TestAClusterThatIsMissed: Envoy asks once for a cluster that does not exist, so it
// holds an empty one until there is a real one, and again when that is gone.
func TestAClusterThatIsMissed(t *testing.T) {
	s := one(t, Options{NoCluster: func(name string) []byte { return []byte("no " + name) }}, res(ClusterType, "c1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType, "*", "c2")
	m := c.expect("Cluster c1=1 c2=absent")
	for _, r := range m.GetResources() {
		if want := map[string]string{"c1": "1", "c2": "no c2"}[r.GetName()]; string(r.GetResource().GetValue()) != want {
			t.Errorf("cluster %s is %q, want %q", r.GetName(), r.GetResource().GetValue(), want)
		}
	}
	c.ack(m)
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c2", "1"))})
	c.take("Cluster c2=1")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ClusterType, "c1"}, {"base", ClusterType, "c2"}}})
	c.take("Cluster -c1 c2=absent")
	c.quiet()

	again := s.connect(t, "a", "n1")
	again.claim(ClusterType, map[string]string{"c2": "absent"}, "*", "c2")
	again.take("Cluster c2=absent")
}

func TestHostsOnDemandBesideAllHosts(t *testing.T) {
	s := one(t, Options{MaxNames: 5}, res(RouteType, "80", "1"), res(VirtualHostType, "80/a", "1"))
	c := s.connect(t, "a", "n1")
	c.takeRoutes("80/a=1")
	names := func() int { return s.hub.Stats().Names }
	before := names()
	for i := range 600 {
		name := fmt.Sprint("80/made-up-", i)
		c.subscribe(VirtualHostType, name)
		c.take("VirtualHost " + name + "=absent@" + name + "!")
	}
	if kept := names() - before; kept > 2*graveyardFloor {
		t.Errorf("%d made-up hosts are kept", kept)
	}
	s.hub.Publish(Batch{Set: put("base", res(VirtualHostType, "80/made-up-1", "1"))})
	c.take("VirtualHost 80/made-up-1=1")
	c.subscribe(VirtualHostType, "80/made-up-1")
	c.take("VirtualHost 80/made-up-1=1@80/made-up-1")

	d := s.connect(t, "a", "n2")
	d.claim(RouteType, map[string]string{"80": "1"}, "80")
	d.claim(VirtualHostType, map[string]string{"80/a": "1", "80/made-up-1": "absent", "80/made-up-2": "absent"}, "*", "80/made-up-2")
	d.take("VirtualHost 80/made-up-1=1 80/made-up-2=absent@80/made-up-2!")
	d.quiet()
}

func TestAHostThatIsAskedForWhileItIsAway(t *testing.T) {
	s := one(t, Options{}, res(RouteType, "80", "1"), res(VirtualHostType, "80/b", "1"))
	sees := func(layers ...Layer) { s.hub.Publish(Batch{Classes: []Class{{Key: "a", Layers: layers}}}) }
	s.hub.Publish(Batch{Set: put("top", res(VirtualHostType, "80/a", "1"))})
	sees("base", "top")
	c := s.connect(t, "a", "n1")
	c.takeRoutes("80/a=1 80/b=1")
	s.hub.Publish(Batch{Set: put("base", res(VirtualHostType, "80/b", "2"))})
	hosts := c.expect("VirtualHost 80/b=2")
	sees("base")
	c.subscribe(VirtualHostType, "80/a")
	c.quiet()
	c.ack(hosts)
	absent := c.expect("VirtualHost 80/a=absent@80/a!")
	sees("base", "top")
	c.quiet()
	c.ack(absent)
	c.take("VirtualHost 80/a=1")
	c.quiet()
}

func TestUnsubscribe(t *testing.T) {
	s := one(t, Options{}, res(EndpointType, "e1", "1"), res(EndpointType, "e2", "1"), res(ClusterType, "c1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(EndpointType, "e1", "e2")
	c.take("ClusterLoadAssignment e1=1 e2=1")
	c.unsubscribe(EndpointType, "e1")
	c.quiet()
	s.hub.Publish(Batch{Set: put("base", res(EndpointType, "e1", "2"), res(EndpointType, "e2", "2"))})
	c.take("ClusterLoadAssignment e2=2")
	c.subscribe(EndpointType, "e1")
	c.take("ClusterLoadAssignment e1=2")
	c.subscribe(ClusterType, "*", "c1")
	c.take("Cluster c1=1")
	c.unsubscribe(ClusterType, "*")
	c.quiet()
	s.hub.Publish(Batch{Set: put("base", res(ClusterType, "c1", "2"), res(ClusterType, "c2", "1"))})
	c.take("Cluster c1=2")
	c.quiet()
}

func TestLargeResponsesAreSplit(t *testing.T) {
	big := func(name string) *Resource {
		r := res(ClusterType, name, "1")
		r.Body = []byte(strings.Repeat("x", 400))
		return r
	}
	s := one(t, Options{MaxResponseBytes: 1000}, big("c1"), big("c2"), big("c3"), res(ListenerType, "l1", "1"))
	c := s.connect(t, "a", "n1")
	c.subscribe(ClusterType)
	c.subscribe(ListenerType)
	first := c.expect("Cluster c1=1 c2=1")
	c.quiet()
	c.ack(first)
	c.take("Cluster c3=1")
	c.take("Listener l1=1")
	s.hub.Publish(Batch{Set: put("base", big("c4"), big("c5"), big("c6"))})
	c.take("Cluster c4=1 c5=1")
	c.take("Cluster c6=1")
	huge := big("c7")
	huge.Body = []byte(strings.Repeat("x", 4000))
	s.hub.Publish(Batch{Set: put("base", huge)})
	c.take("Cluster c7=1")
}

func TestStreamsThatAreNotServed(t *testing.T) {
	opts := Options{MaxNames: 3, MaxNodeBytes: 200, Classify: func(n *core.Node, p Peer) (string, error) {
		if p.Address == nil {
			return "", errors.New("the peer has no address")
		}
		switch n.GetCluster() {
		case "refused":
			return "", errors.New("the certificate is of another namespace")
		case "busy":
			return "", status.Error(codes.Unavailable, "starting")
		}
		return n.GetCluster(), nil
	}}
	for name, tc := range map[string]struct {
		class string
		act   func(*client)
		code  codes.Code
		says  string
	}{
		"no node":           {"a", func(c *client) { c.node = nil; c.subscribe(ClusterType) }, codes.InvalidArgument, "node"},
		"other identity":    {"refused", func(c *client) { c.subscribe(ClusterType) }, codes.PermissionDenied, "another namespace"},
		"classifier's code": {"busy", func(c *client) { c.subscribe(ClusterType) }, codes.Unavailable, "starting"},
		"large node":        {strings.Repeat("n", 300), func(c *client) { c.subscribe(ClusterType) }, codes.InvalidArgument, "bytes"},
		"many names":        {"a", func(c *client) { c.subscribe(EndpointType, "1", "2", "3", "4") }, codes.ResourceExhausted, "names"},
		"many claims": {"a", func(c *client) {
			c.claim(ClusterType, map[string]string{"1": "", "2": "", "3": "", "4": ""})
		}, codes.ResourceExhausted, "held names"},
		"long name": {"a", func(c *client) { c.subscribe(EndpointType, strings.Repeat("e", 2000)) }, codes.InvalidArgument, "longer"},
		"no type":   {"a", func(c *client) { c.subscribe("") }, codes.InvalidArgument, "type"},
		"many types": {"a", func(c *client) {
			for i := range maxLanes + 1 {
				c.subscribe(probeType + strings.Repeat("x", i))
			}
		}, codes.ResourceExhausted, "types"},
	} {
		t.Run(name, func(t *testing.T) {
			s := one(t, opts)
			c := s.connect(t, tc.class, "n1")
			tc.act(c)
			select {
			case m, open := <-c.got:
				if open {
					t.Fatalf("served %s", show(m))
				}
			case <-time.After(patience):
				t.Fatal("the stream did not end")
			}
			if got := status.Code(c.err); got != tc.code || !strings.Contains(c.err.Error(), tc.says) {
				t.Errorf("stream ended with %v, want %v that says %q", c.err, tc.code, tc.says)
			}
		})
	}
}

func TestACompressingClientSharesNothing(t *testing.T) {
	s := one(t, Options{}, res(ClusterType, "c1", strings.Repeat("1", 1000)))
	for _, opts := range [][]grpc.CallOption{{grpc.UseCompressor(gzip.Name)}, nil, {grpc.UseCompressor(gzip.Name)}} {
		c := s.connect(t, "a", "n1", opts...)
		c.subscribe(ClusterType)
		c.expect("Cluster c1=" + strings.Repeat("1", 1000))
	}
}

func TestClassesAreAnnounced(t *testing.T) {
	events := &ledger{}
	s := serve(t, Options{Events: events})
	c1, c2 := s.connect(t, "a", "n1"), s.connect(t, "a", "n2")
	c1.subscribe(ClusterType)
	waitFor(t, func() bool { return s.hub.Stats().Sessions == 1 })
	c2.subscribe(ClusterType)
	waitFor(t, func() bool { return s.hub.Stats().Sessions == 2 })
	c1.cancel()
	waitFor(t, func() bool { return s.hub.Stats().Sessions == 1 })
	c2.cancel()
	waitFor(t, func() bool { return s.hub.Stats() == Stats{Streams: 2} })
	if got := events.take(); !slices.Equal(got, []string{"wanted a", "idle a"}) {
		t.Errorf("events %q", got)
	}
}

func TestNothingIsLeftWhenAllIsDeleted(t *testing.T) {
	s := one(t, Options{}, res(ClusterType, "c1", "1"), res(EndpointType, "e1", "1"), res(VirtualHostType, "80/a", "1"))
	c := s.connect(t, "a", "n1")
	c.claim(ClusterType, map[string]string{"gone": "1"})
	c.take("Cluster -gone c1=1")
	c.subscribe(EndpointType, "e1", "e2")
	c.take("ClusterLoadAssignment -e2 e1=1")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ClusterType, "c1"}, {"base", EndpointType, "e1"}, {"base", VirtualHostType, "80/a"}}, DropClasses: []string{"a"}})
	c.cancel()
	waitFor(t, func() bool { st := s.hub.Stats(); return st.Sessions+st.Classes+st.Layers+st.Names == 0 })
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come true")
		}
	}
}

func TestAClientThatWasCutOffBeforeItsHosts(t *testing.T) {
	s := one(t, Options{}, res(RouteType, "80", "1"), res(VirtualHostType, "80/a", "1"))
	c := s.connect(t, "a", "n1")
	c.takeRoutes("80/a=1")
	// It drops what it has and asks again while an update is on its way.
	s.hub.Publish(Batch{Set: put("base", res(RouteType, "80", "2"))})
	routes := c.expect("RouteConfiguration 80=2")
	c.subscribe(RouteType, "80")
	c.ack(routes)
	c.expect("VirtualHost 80/a=1")
	left := func() bool { return s.hub.Stats().Sessions == 0 }
	c.cancel()
	waitFor(t, left)
	d := s.connect(t, "a", "n1")
	d.claim(RouteType, map[string]string{"80": "2"}, "80")
	d.claim(VirtualHostType, map[string]string{"80/a": "1"})
	d.take("VirtualHost 80/a=1")
	d.quiet()
	// From then on there is no doubt.
	d.cancel()
	waitFor(t, left)
	e := s.connect(t, "a", "n1")
	e.claim(RouteType, map[string]string{"80": "2"}, "80")
	e.claim(VirtualHostType, map[string]string{"80/a": "1"})
	e.quiet()
}
