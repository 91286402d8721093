// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// chaos is a small town in which everything may change. Names are few, so that
// objects collide, refer to one another and to what is not there.
type chaos struct {
	r       *rand.Rand
	rows    intake.Batch
	classes map[string]*ir.Class
}

// edit is one change: of a batch, or of the classes.
type edit struct {
	batch   intake.Batch
	classes map[string]*ir.Class
}

var chaosNamespaces = []string{"apps", "shop", "istio-system"}

func newChaos(seed uint64) *chaos {
	return &chaos{r: rand.New(rand.NewPCG(seed, seed)), rows: everyTable(), classes: map[string]*ir.Class{}}
}

func everyTable() intake.Batch { return intake.NewInbox().Drain() }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// step makes a random edit and keeps the state that it leads to.
func (x *chaos) step() edit {
	e := edit{batch: everyTable(), classes: map[string]*ir.Class{}}
	name := func(prefix string, n int) string { return fmt.Sprintf("%s%d", prefix, x.r.IntN(n)) }
	object := func(prefix string, n int) ir.ObjectKey {
		return ir.ObjectKey{Cluster: "east", Namespace: pick(x.r, chaosNamespaces...), Name: name(prefix, n)}
	}
	config := func(prefix string, n int) ir.ConfigKey {
		return ir.ConfigKey{Namespace: pick(x.r, chaosNamespaces...), Name: name(prefix, n)}
	}
	switch x.r.IntN(26) {
	case 0, 1:
		change(x, x.rows.Services, e.batch.Services, object("s", 3), x.service)
	case 2, 3:
		change(x, x.rows.Slices, e.batch.Slices, object("l", 5), x.slice)
	case 4, 5:
		change(x, x.rows.Pods, e.batch.Pods, object("p", 6), x.pod)
	case 6:
		change(x, x.rows.Nodes, e.batch.Nodes, ir.NodeKey{Cluster: "east", Name: name("n", 3)}, x.node)
	case 7, 8:
		change(x, x.rows.Routes, e.batch.Routes, config("v", 3), x.routes)
	case 9:
		change(x, x.rows.Policies, e.batch.Policies, config("d", 3), x.policy)
	case 10:
		change(x, x.rows.Gateways, e.batch.Gateways, config("g", 2), x.gateway)
	case 11:
		change(x, x.rows.PeerAuthentications, e.batch.PeerAuthentications, config("a", 3), x.peerAuthentication)
	case 12:
		change(x, x.rows.ProxyConfigs, e.batch.ProxyConfigs, config("q", 4), x.proxyConfig)
	case 13:
		change(x, x.rows.Credentials, e.batch.Credentials, config("c", 2), x.credential)
	case 14:
		change(x, x.rows.Namespaces, e.batch.Namespaces, pick(x.r, chaosNamespaces...), func(ns string) *ir.Namespace {
			return &ir.Namespace{Name: ns, DiscoveryScope: pick(x.r, ir.ScopeInherited, ir.ScopeFull, ir.ScopeOnDemand)}
		})
	case 15, 16:
		change(x, x.rows.ServiceEntries, e.batch.ServiceEntries, config("e", 3), x.serviceEntry)
	case 17:
		change(x, x.rows.WorkloadEntries, e.batch.WorkloadEntries, config("w", 3), x.workloadEntry)
	case 18:
		change(x, x.rows.Allocated, e.batch.Allocated, config("e", 3), x.allocated)
	case 19:
		change(x, x.rows.Ingresses, e.batch.Ingresses, config("i", 2), x.ingress)
	case 20:
		change(x, x.rows.IngressClasses, e.batch.IngressClasses, name("k", 2), func(string) *ir.IngressClass {
			return &ir.IngressClass{Ours: x.r.IntN(2) == 0}
		})
	case 21:
		change(x, x.rows.Sidecars, e.batch.Sidecars, config("x", 3), x.sidecar)
	case 22:
		change(x, x.rows.WorkloadHealths, e.batch.WorkloadHealths, config("w", 3), func(ir.ConfigKey) *ir.WorkloadHealth {
			return &ir.WorkloadHealth{Healthy: x.r.IntN(2) == 0}
		})
	case 23:
		change(x, x.rows.WorkloadGroups, e.batch.WorkloadGroups, config("m", 2), x.workloadGroup)
	case 24:
		change(x, x.rows.RequestAuthentications, e.batch.RequestAuthentications, config("t", 3), x.requestAuthentication)
	default:
		c := x.class()
		change(x, x.classes, e.classes, classKey(c), func(string) *ir.Class { return c })
	}
	return e
}

// change deletes a row now and then, else makes it anew.
func change[K comparable, V any](x *chaos, rows, changes map[K]*V, k K, fresh func(K) *V) {
	if x.r.IntN(3) == 0 {
		delete(rows, k)
		changes[k] = nil
		return
	}
	rows[k] = fresh(k)
	changes[k] = rows[k]
}

func (x *chaos) host() string {
	return fmt.Sprintf("s%d.%s.svc.cluster.local", x.r.IntN(3), pick(x.r, chaosNamespaces...))
}

func (x *chaos) service(k ir.ObjectKey) *ir.Service {
	s := &ir.Service{Key: k, Host: k.Name + "." + k.Namespace + ".svc.cluster.local"}
	switch x.r.IntN(6) {
	case 0:
		s.Headless = true
	case 1:
		s.ExternalName = map[string]string{"s0": "example.com", "s1": "s2.apps.svc.cluster.local", "s2": "s1.apps.svc.cluster.local"}[k.Name]
	default:
		var ns byte
		for i := range chaosNamespaces {
			if chaosNamespaces[i] == k.Namespace {
				ns = byte(i)
			}
		}
		// A few addresses per Service, and no two Services with the same.
		s.VIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96 + ns, k.Name[1], byte(x.r.IntN(2))})}
		if x.r.IntN(3) == 0 {
			s.VIPs = append(s.VIPs, netip.AddrFrom16([16]byte{0: 0xfd, 13: ns, 14: k.Name[1], 15: byte(x.r.IntN(2))}))
		}
	}
	s.IPv6First = x.r.IntN(3) == 0
	if x.r.IntN(4) > 0 {
		s.Selector = x.labels()
	}
	s.Near, s.Outside = x.nearness(), x.outside()
	s.Session = pick(x.r, nil, nil, nil, &ir.Session{Cookie: "at", Path: "/"}, &ir.Session{Header: "x-at"})
	if x.r.IntN(3) == 0 {
		v := x.visibility()
		s.ExportTo = &v
	}
	for i, port := range []uint16{80, 8080, 9000, 5432} {
		if x.r.IntN(3) > 0 {
			s.Ports = append(s.Ports, ir.ServicePort{
				Name: fmt.Sprintf("port-%d", i), Port: port, Target: []uint16{0, port, 80, port}[i], // some by name, some on a port that others have
				Protocol: pick(x.r, ir.ProtocolHTTP, ir.ProtocolHTTP, ir.ProtocolGRPC, ir.ProtocolGRPCWeb, ir.ProtocolTCP, ir.ProtocolAuto, ir.ProtocolUDP),
			})
			if last := &s.Ports[len(s.Ports)-1]; port == 5432 && x.r.IntN(16) > 0 { // a number at which hardly any host speaks HTTP
				last.Protocol = ir.ProtocolTCP
			}
		}
	}
	for _, port := range []uint16{80, 8080} {
		if x.r.IntN(2) == 0 {
			s.Ports = append(s.Ports, ir.ServicePort{
				Name: fmt.Sprintf("datagrams-%d", port), Port: port, Target: pick[uint16](x.r, 0, 80, 8080), Protocol: ir.ProtocolUDP,
			})
		}
	}
	return s
}

func (x *chaos) slice(k ir.ObjectKey) *ir.EndpointSlice {
	s := &ir.EndpointSlice{
		Key:     k,
		Service: ir.ObjectKey{Cluster: "east", Namespace: k.Namespace, Name: fmt.Sprintf("s%d", x.r.IntN(3))},
	}
	for i := range 4 {
		s.Ports = append(s.Ports, ir.SlicePort{Name: fmt.Sprintf("port-%d", i), Port: uint16(8000 + x.r.IntN(3))})
	}
	for i := range x.r.IntN(4) {
		e := ir.SliceEndpoint{
			Addr: netip.AddrFrom4([4]byte{10, 0, byte(x.r.IntN(3)), byte(i)}),
			Node: fmt.Sprintf("n%d", x.r.IntN(3)), Ready: x.r.IntN(3) > 0, Terminating: x.r.IntN(3) == 0,
		}
		if x.r.IntN(3) == 0 {
			e.Addr = netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(x.r.IntN(3)), 15: byte(i)})
		}
		if x.r.IntN(5) > 0 {
			e.Pod = fmt.Sprintf("p%d", x.r.IntN(6))
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func (x *chaos) labels() ir.Labels {
	l := ir.Labels{{Key: "app", Value: pick(x.r, "a", "b", "c")}}
	if x.r.IntN(2) == 0 {
		l = append(l, ir.Label{Key: "version", Value: pick(x.r, "v1", "v2")})
	}
	return l
}

func (x *chaos) pod(k ir.ObjectKey) *ir.Pod {
	return &ir.Pod{
		Addr: netip.AddrFrom4([4]byte{10, 0, 9, k.Name[1]}), Also: pick(x.r, netip.Addr{}, netip.AddrFrom16([16]byte{0: 0xfd, 14: 9, 15: k.Name[1]})),
		Key: k, Labels: x.labels(), ServiceAccount: pick(x.r, "one", "two"), Node: "n0",
		Meshed: x.r.IntN(3) > 0, Readiness: pick(x.r, ir.Unready, ir.Presumed, ir.Ready),
	}
}

func (x *chaos) node(k ir.NodeKey) *ir.Node {
	return &ir.Node{Key: k, Locality: ir.Locality{Region: "west", Zone: pick(x.r, "", "a", "b")}}
}

func (x *chaos) visibility() ir.Visibility {
	if x.r.IntN(2) == 0 {
		return ir.Visibility{All: true}
	}
	return ir.Visibility{Namespaces: pick(x.r, nil, []string{"apps"}, []string{"shop"}, []string{"apps", "shop"})}
}

func (x *chaos) routes(k ir.ConfigKey) *ir.Routes {
	origin := ir.Origin{Kind: "VirtualService", Namespace: k.Namespace, Name: k.Name}
	out := &ir.Routes{
		Origin: origin, Created: int64(x.r.IntN(4)), Mesh: x.r.IntN(3) > 0, ExportTo: x.visibility(),
		Hosts: pick(x.r, []string{x.host()}, []string{"*.shop.svc.cluster.local"}, []string{"*.com", x.host()}, []string{"shop.example.com"}, []string{"*.example.com"}),
	}
	if !out.Mesh || x.r.IntN(2) == 0 {
		out.Gateways = []ir.ConfigKey{{Namespace: pick(x.r, chaosNamespaces...), Name: fmt.Sprintf("g%d", x.r.IntN(2))}}
	}
	if x.r.IntN(3) == 0 {
		out.Hosts, out.Mesh, out.Gateways = nil, false, nil // others delegate to it
	}
	for i := range 1 + x.r.IntN(3) {
		rule := ir.Rule{Origin: origin}
		rule.Origin.Section = fmt.Sprintf("http[%d]", i)
		if x.r.IntN(2) == 0 {
			rule.Matches = []ir.Match{{Path: &ir.StringMatch{Kind: ir.MatchPrefix, Value: pick(x.r, "/a", "/b")}}}
			if x.r.IntN(3) == 0 {
				rule.Matches[0].GatewaysSet, rule.Matches[0].Mesh = true, x.r.IntN(2) == 0
				rule.Matches[0].Gateways = out.Gateways
			}
			x.narrow(&rule.Matches[0].Place)
			if x.r.IntN(3) == 0 {
				rule.Matches[0].Headers = []ir.HeaderMatch{{
					Name: ir.ClaimName("group"), Match: ir.StringMatch{Value: "dev"}, Invert: x.r.IntN(3) == 0,
				}}
			}
		}
		switch x.r.IntN(6) {
		case 0:
			rule.Direct = &ir.Direct{Status: 500}
		case 1:
			if len(out.Hosts) > 0 {
				rule.Delegate = &ir.ConfigKey{Namespace: pick(x.r, chaosNamespaces...), Name: fmt.Sprintf("v%d", x.r.IntN(3))}
			}
		}
		for range 1 + x.r.IntN(2) {
			if rule.Direct == nil && rule.Delegate == nil {
				rule.Destinations = append(rule.Destinations, ir.Destination{
					Host: pick(x.r, x.host(), x.host(), x.entryHost()), Port: pick(x.r, uint16(0), 0, 80, 8080), Subset: pick(x.r, "", "v1", "v2"), Weight: 1 + x.r.Uint32N(99),
				})
			}
		}
		out.HTTP = append(out.HTTP, rule)
	}
	if x.r.IntN(3) == 0 {
		out.HTTP = nil
	}
	out.TCP = x.streamRules(out, "tcp")
	out.TLS = x.streamRules(out, "tls")
	return out
}

func (x *chaos) settings() ir.PolicySettings {
	out := ir.PolicySettings{Outliers: pick(x.r, nil, &ir.OutlierDetection{}), LoadBalancer: pick(x.r,
		ir.LoadBalancer{}, ir.LoadBalancer{Balance: ir.BalanceRandom}, ir.LoadBalancer{Balance: ir.BalancePassthrough},
		ir.LoadBalancer{Balance: ir.BalanceHashHeader, HashKey: "x-user"}, ir.LoadBalancer{Balance: ir.BalanceHashSourceIP},
	)}
	out.LoadBalancer.Near, out.LoadBalancer.NotByZones = x.nearness(), x.r.IntN(4) == 0
	if x.r.IntN(4) == 0 {
		out.Pool = &ir.ConnectionPool{IdleTimeout: time.Duration(1+x.r.IntN(3)) * time.Minute}
	}
	if x.r.IntN(3) == 0 {
		out.TLS = &ir.ClientTLS{Mode: pick(x.r, ir.TLSDisable, ir.TLSMesh, ir.TLSSimple)}
		if x.r.IntN(2) == 0 {
			out.TLS.Mode, out.TLS.Credential = pick(x.r, ir.TLSSimple, ir.TLSMutual), fmt.Sprintf("c%d", x.r.IntN(2))
		}
	}
	return out
}

func (x *chaos) nearness() *ir.Nearness {
	west := ir.LocalityPattern{Region: "west"}
	return pick(x.r, nil, nil, &ir.Nearness{Off: true}, &ir.Nearness{}, &ir.Nearness{Depth: ir.DepthZone},
		&ir.Nearness{Failover: []ir.Failover{{From: "west", To: "east"}}},
		&ir.Nearness{Zones: &ir.Zones{Least: 1}}, &ir.Nearness{Zones: &ir.Zones{Least: 6}, Labels: []ir.LabelPriority{{Key: "version"}}},
		&ir.Nearness{Labels: []ir.LabelPriority{{Key: "version"}, {Key: ir.LabelZone}, {Key: ir.LabelCluster}}},
		&ir.Nearness{Labels: []ir.LabelPriority{{Key: "version", Value: "v1", Stated: true}}},
		&ir.Nearness{Distribute: []ir.Distribution{{From: west, To: []ir.LocalityShare{
			{To: ir.LocalityPattern{Region: "west", Zone: "a"}, Percent: 70}, {To: west, Percent: 30},
		}}}})
}

func (x *chaos) policy(k ir.ConfigKey) *ir.TrafficPolicy {
	out := &ir.TrafficPolicy{
		Origin:  ir.Origin{Kind: "DestinationRule", Namespace: k.Namespace, Name: k.Name},
		Created: int64(x.r.IntN(4)), ExportTo: x.visibility(), Settings: x.settings(),
		Host: pick(x.r, x.host(), x.host(), "*.apps.svc.cluster.local", "*.cluster.local", "*.example.com", "shop.example.com"),
	}
	if x.r.IntN(4) == 0 {
		out.Selector, out.ExportTo = x.labels(), ir.Visibility{Namespaces: []string{k.Namespace}}
	}
	for _, name := range []string{"v1", "v2"} {
		if x.r.IntN(2) == 0 {
			s := ir.Subset{Name: name, Labels: ir.Labels{{Key: "version", Value: pick(x.r, "v1", "v2")}}}
			if x.r.IntN(2) == 0 {
				settings := x.settings()
				s.Settings = &settings
			}
			out.Subsets = append(out.Subsets, s)
		}
	}
	if x.r.IntN(3) == 0 {
		out.Ports = []ir.PortPolicy{{Port: 80, Settings: x.settings()}}
	}
	return out
}

// fit makes routes and subsets fit together, by one of two ways, and all certificates
// good: what is in effect while they are not depends on what was before.
func (x *chaos) fit(routes bool) edit {
	e := edit{batch: everyTable(), classes: map[string]*ir.Class{}}
	for _, namespace := range chaosNamespaces {
		for _, name := range []string{"c0", "c1"} {
			k := ir.ConfigKey{Namespace: namespace, Name: name}
			good := &ir.Credential{Key: k, Certificate: []byte(pick(x.r, "one", "two")), PrivateKey: ir.PrivateBytes("key"), CA: []byte("ca")}
			x.rows.Credentials[k], e.batch.Credentials[k] = good, good
		}
	}
	if routes {
		for k, r := range x.rows.Routes {
			fit := *r
			fit.HTTP = slices.Clone(r.HTTP)
			for i := range fit.HTTP {
				fit.HTTP[i].Destinations = slices.Clone(fit.HTTP[i].Destinations)
				fit.HTTP[i].Mirrors = slices.Clone(fit.HTTP[i].Mirrors)
			}
			for _, rules := range []*[]ir.StreamRule{&fit.TLS, &fit.TCP} {
				*rules = slices.Clone(*rules)
				for i := range *rules {
					(*rules)[i].Destinations = slices.Clone((*rules)[i].Destinations)
				}
			}
			for d := range fit.Named() {
				d.Subset = ""
			}
			x.rows.Routes[k], e.batch.Routes[k] = &fit, &fit
		}
		return e
	}
	all := ir.ConfigKey{Namespace: "istio-system", Name: "d0"}
	everywhere := x.policy(all)
	everywhere.Host, everywhere.Selector, everywhere.ExportTo = "*", nil, ir.Visibility{All: true}
	x.rows.Policies[all] = everywhere
	for k, p := range x.rows.Policies {
		fit := *p
		fit.Subsets = []ir.Subset{
			{Name: "v1", Labels: ir.Labels{{Key: "version", Value: "v1"}}}, {Name: "v2", Labels: ir.Labels{{Key: "version", Value: "v2"}}},
		}
		x.rows.Policies[k], e.batch.Policies[k] = &fit, &fit
	}
	return e
}

func (x *chaos) gateway(k ir.ConfigKey) *ir.Gateway {
	out := &ir.Gateway{
		Origin:  ir.Origin{Kind: "Gateway", Namespace: k.Namespace, Name: k.Name},
		Created: int64(x.r.IntN(4)), Selector: pick(x.r, nil, x.labels(), x.labels()),
	}
	for i := range 1 + x.r.IntN(3) {
		s := ir.Server{
			Origin: out.Origin, PortName: fmt.Sprintf("port-%d", i), Port: pick[uint16](x.r, 80, 8080), Protocol: pick(x.r, ir.ProtocolHTTP, ir.ProtocolHTTP, ir.ProtocolGRPCWeb),
			Hosts: []ir.ServerHost{{
				Namespace: pick(x.r, "*", "*", "apps"), Host: pick(x.r, "*", "*.example.com", "shop.example.com", x.host()),
			}},
		}
		s.Origin.Section = s.PortName
		s.Bind = pick(x.r, ir.Bind{}, ir.Bind{}, ir.Bind{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1})}, ir.Bind{Socket: "/run/x"})
		if s.Bind.Socket != "" {
			s.Port = 0
		}
		switch x.r.IntN(6) {
		case 2:
			s.Protocol = ir.ProtocolTCP
		case 3:
			s.Protocol, s.TLS = ir.ProtocolTLS, &ir.ServerTLS{Mode: pick(x.r, ir.ServerPassthrough, ir.ServerAutoPassthrough)}
		case 0, 4:
			s.Protocol = pick(x.r, ir.ProtocolHTTPS, ir.ProtocolHTTPS, ir.ProtocolTLS)
			s.TLS = x.serverTLS()
		case 1:
			s.HTTPSRedirect = true
		}
		out.Servers = append(out.Servers, s)
	}
	return out
}

func (x *chaos) serverTLS() *ir.ServerTLS {
	out := &ir.ServerTLS{Mode: pick(x.r, ir.ServerSimple, ir.ServerSimple, ir.ServerMutual, ir.ServerOptionalMutual, ir.ServerMesh)}
	if out.Mode == ir.ServerMesh {
		return out
	}
	for range 1 + x.r.IntN(2) {
		out.Certificates = append(out.Certificates, ir.SecretKey{Kind: ir.SecretCertificate, Credential: fmt.Sprintf("c%d", x.r.IntN(2))})
	}
	if out.AsksClients() {
		out.CA = pick(x.r, ir.SecretKey{}, ir.SecretKey{Kind: ir.SecretCA, Credential: "c1"}, ir.SecretKey{Kind: ir.SecretCA, File: "/ca"})
		out.CRLFile = pick(x.r, "", "/crl")
	}
	return out
}

func (x *chaos) peerAuthentication(k ir.ConfigKey) *ir.PeerAuthentication {
	mode := func() ir.MTLSMode { return pick(x.r, ir.MTLSUnset, ir.MTLSDisable, ir.MTLSPermissive, ir.MTLSStrict) }
	out := &ir.PeerAuthentication{
		Origin:  ir.Origin{Kind: "PeerAuthentication", Namespace: k.Namespace, Name: k.Name},
		Created: int64(x.r.IntN(4)), Mode: mode(),
	}
	if x.r.IntN(2) == 0 {
		out.Selector = x.labels()
		if x.r.IntN(2) == 0 {
			out.Ports = []ir.PortMTLS{{Port: uint16(8000 + x.r.IntN(3)), Mode: mode()}}
		}
	}
	return out
}

func (x *chaos) credential(k ir.ConfigKey) *ir.Credential {
	switch x.r.IntN(6) {
	case 0:
		return &ir.Credential{Key: k, Invalid: "the key is not that of the certificate"}
	case 3:
		return &ir.Credential{Key: k, Certificate: []byte("old"), PrivateKey: ir.PrivateBytes("key"), Expired: "it expired"}
	case 1:
		return &ir.Credential{Key: k, CA: []byte("ca"), CRL: pick(x.r, nil, []byte("crl"))}
	case 2:
		return &ir.Credential{Key: k, Certificate: []byte("one"), PrivateKey: ir.PrivateBytes("key"), InvalidCA: "the CA is none"}
	}
	return &ir.Credential{
		Key: k, Certificate: []byte(pick(x.r, "one", "two")), PrivateKey: ir.PrivateBytes("key"), CA: pick(x.r, nil, []byte("ca")),
	}
}

func (x *chaos) class() *ir.Class {
	return &ir.Class{
		Edge:    pick(x.r, nil, nil, &ir.EdgeTopology{ProxyProtocol: true}, &ir.EdgeTopology{TrustedProxies: 1}),
		Dialect: pick(x.r, nil, nil, &ir.Dialect{PreserveCase: true}, &ir.Dialect{NoAttempts: true, TellHost: true}), HTTP10: x.r.IntN(4) == 0,
		Role: pick(x.r, ir.RoleSidecar, ir.RoleRouter), Namespace: pick(x.r, chaosNamespaces...),
		Workload: "w", ServiceAccount: "one", Labels: x.labels(),
		Locality: pick(x.r, ir.Locality{}, ir.Locality{Region: "west", Zone: "a"}, ir.Locality{Region: "west", Zone: "b"}),
		Group:    pick(x.r, "", "", "m0", "m1"),
		IPv6:     x.r.IntN(3) == 0,
	}
}

func (x *chaos) proxyConfig(k ir.ConfigKey) *ir.ProxyConfig {
	out := &ir.ProxyConfig{
		Origin:  ir.Origin{Kind: "ProxyConfig", Namespace: k.Namespace, Name: k.Name},
		Created: int64(x.r.IntN(3)), Workers: ir.Workers{Set: true, Number: int32(x.r.IntN(3))},
	}
	if x.r.IntN(2) == 0 {
		out.Selector = x.labels()
	}
	return out
}
