// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"

	"github.com/meshwright/meshwright/internal/ownport"
)

// Call is a request that an application, or a client of a gateway, makes.
type Call struct {
	Addr    netip.AddrPort    // where the connection is made to
	TLS     bool              // the client speaks TLS with the server name Host
	HTTP3   bool              // over QUIC, with TLS
	ALPN    string            // that the client offers in TLS
	HTTP    bool              // a request is sent
	Host    string            // without a port
	As      string            // the Host header; empty: Host
	Method  string            // "GET" when empty
	Path    string            // with the query, if any
	Headers map[string]string // lower-case names
	Claims  map[string]any    // of the request's token, which is signed as its issuer does; nil: it has none
}

// authority is the Host header.
func (c *Call) authority() string { return cmp.Or(c.As, c.Host) }

// portless is a Host header without its port.
func portless(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}

// Answer says what becomes of a call: "CLUSTER", "90 CLUSTER + 10 CLUSTER", or the
// status that the proxy answers itself, with the reason.
func (p *Proxy) Answer(c Call) string {
	l := p.listener(c.Addr)
	if c.HTTP3 {
		l = p.listeners[network(true)+address("0.0.0.0", uint32(c.Addr.Port()))]
	}
	if l == nil {
		return "refused: nothing listens"
	}
	chain := choose(l, &c)
	if chain == nil {
		return "closed: no filter chain fits"
	}
	last := len(chain.Filters) - 1
	m, err := chain.Filters[last].GetTypedConfig().UnmarshalNew()
	if err != nil {
		return "unreadable filter: " + err.Error()
	}
	connected := *p
	if connected.state, err = p.stateOf(chain.Filters[:last], &c); err != nil {
		return "unreadable filter: " + err.Error()
	}
	p = &connected
	switch f := m.(type) {
	case *tcpproxyv3.TcpProxy:
		return p.carry(f)
	case *hcmv3.HttpConnectionManager:
		if !c.HTTP || (c.TLS && chain.TransportSocket == nil) {
			return "closed: not HTTP"
		}
		return p.request(f, &c)
	}
	return fmt.Sprintf("unknown filter %T", m)
}

// listener is the one of the address, the one of the port, or the one that gets
// everything that is captured.
func (p *Proxy) listener(to netip.AddrPort) *listenerv3.Listener {
	all := netip.IPv4Unspecified()
	if to.Addr().Is6() {
		all = netip.IPv6Unspecified()
	}
	return cmp.Or(
		p.listeners[address(to.Addr().String(), uint32(to.Port()))],
		p.listeners[address(all.String(), uint32(to.Port()))],
		p.listeners[address(all.String(), ownport.Outbound)],
	)
}

func (p *Proxy) listen(l *listenerv3.Listener, at *corev3.Address) {
	a := at.GetSocketAddress()
	p.listeners[network(a.GetProtocol() == corev3.SocketAddress_UDP)+address(a.GetAddress(), a.GetPortValue())] = l
}

func (p *Proxy) request(m *hcmv3.HttpConnectionManager, c *Call) string {
	name := m.GetRds().GetRouteConfigName()
	if p.routes[name] == nil {
		return "404: no route configuration " + name
	}
	host := c.authority()
	if p.routes[name].IgnorePortInHostMatching {
		host = portless(host)
	}
	vh := virtualHost(p.hosts[name], host)
	if vh == nil && m.GetHttpFilters()[0].GetName() == "envoy.filters.http.on_demand" {
		p.ask(resource.VirtualHostType, name+"/"+strings.ToLower(strings.TrimSuffix(host, ".")))
		vh = virtualHost(p.hosts[name], host)
	}
	if vh == nil {
		return "404: no virtual host"
	}
	if vh.RequireTls == routev3.VirtualHost_ALL && !c.TLS {
		return "301: to https"
	}
	seen, refusal := p.verify(m, c)
	if refusal != "" {
		return refusal
	}
	for _, r := range vh.Routes {
		if matches(r.Match, seen) {
			return p.act(r, seen)
		}
	}
	return "404: no route"
}

func (p *Proxy) act(r *routev3.Route, c *Call) string {
	if d := r.GetDirectResponse(); d != nil {
		return fmt.Sprint(d.Status)
	}
	if d := r.GetRedirect(); d != nil {
		return location(r.Match, d, c)
	}
	return p.forward(r) + seen(r, c)
}

func (p *Proxy) forward(r *routev3.Route) string {
	action := r.GetRoute()
	if weighted := action.GetWeightedClusters(); weighted != nil {
		var parts []string
		for _, w := range weighted.Clusters {
			parts = append(parts, fmt.Sprintf("%d %s", w.Weight.GetValue(), p.reach(w.Name)+p.hashed(action, w.Name)+asHost(w.GetHostRewriteLiteral())))
		}
		return strings.Join(parts, " + ")
	}
	return p.reach(action.GetCluster()) + p.hashed(action, action.GetCluster())
}

// carry is where bytes go.
func (p *Proxy) carry(f *tcpproxyv3.TcpProxy) string {
	weighted := f.GetWeightedClusters()
	if chosen := cmp.Or(p.state[stateCluster], f.GetCluster()); weighted == nil {
		return p.reach(chosen)
	}
	var parts []string
	for _, w := range weighted.Clusters {
		parts = append(parts, fmt.Sprintf("%d %s", w.Weight, p.reach(w.Name)))
	}
	return strings.Join(parts, " + ")
}

// reach is how a cluster is called in statistics, or why nothing gets there.
func (p *Proxy) reach(cluster string) string {
	if p.clusters[cluster] == nil {
		p.ask(resource.ClusterType, cluster)
	}
	c := p.clusters[cluster]
	if c == nil {
		return "503: no cluster " + cluster
	}
	if c.GetType() == clusterv3.Cluster_EDS {
		from := assignment(cluster, c)
		n, known := p.endpoints[from]
		switch {
		case !known:
			return "503: endpoints never known of " + from
		case n == 0:
			return "503: no endpoints of " + from
		}
	}
	name := cmp.Or(c.AltStatName, cluster)
	if m := c.GetTransportSocketMatcher(); m != nil {
		return name + p.transport(assignment(cluster, c), m)
	}
	return name
}

// hashed says by what a table of hashes is looked up: both the cluster and the route must agree on it.
func (p *Proxy) hashed(a *routev3.RouteAction, cluster string) string {
	switch p.clusters[cluster].GetLbPolicy() {
	case clusterv3.Cluster_RING_HASH, clusterv3.Cluster_MAGLEV:
	default:
		return ""
	}
	if len(a.HashPolicy) == 0 {
		return " by nothing, though it hashes"
	}
	h := a.HashPolicy[0]
	switch {
	case h.GetHeader() != nil:
		return " by header " + h.GetHeader().HeaderName
	case h.GetCookie() != nil:
		return " by cookie " + h.GetCookie().Name
	case h.GetQueryParameter() != nil:
		return " by query parameter " + h.GetQueryParameter().Name
	}
	return " by source address"
}
