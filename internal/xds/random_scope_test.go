// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// restCluster is what stands for the addresses that nobody has.
const restCluster = "unknown"

// clusterName is the name of a cluster; some are addresses.
func clusterName(i int) string {
	if i > 9 {
		return fmt.Sprintf("10.0.0.%d:80", i)
	}
	return fmt.Sprint("n", i)
}

func isAddress(name string) bool {
	_, err := netip.ParseAddrPort(name)
	return err == nil
}

// belong gives a resource of the random test what scopes look at.
func (w *world) belong(r *Resource) {
	var i int
	switch r.Type {
	case ClusterType:
		if r.Name == restCluster {
			r.Key, r.Hidden, r.EDS = Rest, true, ""
			return
		}
		r.Hidden = isAddress(r.Name)
		_, _ = fmt.Sscanf(r.Name, "n%d", &i)
		r.Key, r.Part = fmt.Sprint("k", i%5), fmt.Sprint("p", i%2)
	case ListenerType:
		_, _ = fmt.Sscanf(r.Name, "n%d", &i)
		r.Leads = true
		r.Key, r.Part = fmt.Sprint("k", i%5), fmt.Sprint("p", i%2)
	case VirtualHostType:
		rc, host, _ := strings.Cut(r.Name, "/")
		if host == "*" {
			r.Key = Rest
			return
		}
		_, _ = fmt.Sscanf(host, "h%d", &i)
		r.Key = fmt.Sprint("k", i%5)
		r.Leads = w.rng.IntN(8) == 0 // which changes
		r.Part = fmt.Sprint("p", w.rng.IntN(2))
		if w.rng.IntN(3) > 0 {
			r.Aliases = append(r.Aliases, rc+"/a"+fmt.Sprint(i))
		}
		if w.rng.IntN(8) == 0 {
			r.Aliases = append(r.Aliases, rc+"/x"+fmt.Sprint(i%5)) // asked for before it exists, often
		}
		r.Body = []byte(strings.Join(r.Aliases, " "))
		for range w.rng.IntN(3) {
			r.Needs = append(r.Needs, fmt.Sprint("n", w.rng.IntN(worldNames)))
		}
	}
}

// scope is nothing, a choice of keys, or a scope that learns.
func (w *world) scope() *Scope {
	switch w.rng.IntN(5) {
	case 0:
		return nil
	case 1:
		s := &Scope{Keys: []string{"k0", "k3"}, All: w.rng.IntN(3) == 0}
		if w.rng.IntN(2) == 0 {
			s.Parts = []Part{{Name: "p1", Keys: []string{"k1", "k3"}, All: w.rng.IntN(3) == 0}}
		}
		return s
	}
	s := &Scope{Asks: true}
	if w.rng.IntN(2) == 0 {
		s.Keys = []string{"k1"}
	}
	if w.rng.IntN(2) == 0 {
		s.Lessons = []Lesson{{VirtualHostType, "rc1/h1"}, {ClusterType, "n7"}}
	}
	return s
}

// unknownOf is the host under which one that does not exist is served.
func unknownOf(rest *Resource, name string) (*Resource, error) {
	v, _, _ := strings.Cut(rest.Version, "bad")
	if rest.Type == ClusterType && !isAddress(name) {
		return nil, nil
	}
	return res(rest.Type, name, v+"-"+name), nil
}

// question is what Envoy asks when no host of a route configuration fits.
func (p *proxy) question(rng *rand.Rand) {
	rc, i := fmt.Sprint("rc", rng.IntN(4)), rng.IntN(worldNames)
	if !p.routes[rc] {
		return
	}
	text := []string{
		fmt.Sprintf("%s/h%d", rc, i), fmt.Sprintf("%s/a%d", rc, i), fmt.Sprintf("%s/a%d:80", rc, i), fmt.Sprintf("%s/x%d", rc, i),
	}[rng.IntN(4)]
	if p.fits(strings.TrimSuffix(text, ":80")) {
		return
	}
	p.answerAll()
	p.asked[VirtualHostType][text] = true
	p.waiting[text] = true
	p.send(&discovery.DeltaDiscoveryRequest{TypeUrl: VirtualHostType, ResourceNamesSubscribe: []string{text}})
}

// fits tells whether the client has a host for a name.
func (p *proxy) fits(text string) bool {
	for _, domain := range []string{text, routeConfigOf(text) + "/*"} {
		if p.applied[VirtualHostType+" "+domain] != "" {
			return true
		}
	}
	for k, aliases := range p.domains {
		if p.applied[VirtualHostType+" "+k] != "" && strings.Contains(" "+aliases+" ", " "+text+" ") {
			return true
		}
	}
	return false
}

// void forgets the questions about a route configuration that is gone.
func (p *proxy) void(rc string) {
	for text := range p.waiting {
		if routeConfigOf(text) == rc {
			delete(p.waiting, text)
		}
	}
}

// answered notes which requests can go on.
func (p *proxy) answered(m *discovery.DeltaDiscoveryResponse) {
	for _, r := range m.GetResources() {
		delete(p.waiting, r.GetName())
		if m.GetTypeUrl() == VirtualHostType {
			p.domains[r.GetName()] = string(r.GetResource().GetValue())
		}
		for _, a := range r.GetAliases() {
			delete(p.waiting, a)
		}
	}
}
