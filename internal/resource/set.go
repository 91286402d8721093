// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"net/netip"
	"strconv"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/meshwright/meshwright/internal/envoy/cluster"
	"github.com/meshwright/meshwright/internal/envoy/dns"
	"github.com/meshwright/meshwright/internal/envoy/endpoint"
	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/listener"
	"github.com/meshwright/meshwright/internal/envoy/route"
	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/model"
)

// Table is the resources of one kind.
type Table = graph.Table[Key, *Resource]

// Set is all resources. Their order is that in which a proxy must learn of them.
type Set struct {
	Tables []*Table
}

// New adds the tables behind those of the model.
func New(g *graph.Graph, m *model.Model) *Set {
	return &Set{Tables: []*Table{
		graph.Derive(g, "resource.static", m.Mesh.Table(), Key.Compare, static(m)),
		graph.Derive(g, "resource.clusters", m.Targets, Key.Compare, outboundCluster(m)),
		graph.Derive(g, "resource.gatewayClusters", m.GatewayTargets, Key.Compare, outboundCluster(m)),
		graph.Derive(g, "resource.autoClusters", m.AutoTargets, Key.Compare, outboundCluster(m)),
		graph.Derive(g, "resource.addressClusters", m.AddressOwners, Key.Compare, addressCluster(m)),
		graph.Derive(g, "resource.inboundClusters", m.Inbounds, Key.Compare, inboundClusters),
		graph.Derive(g, "resource.endpoints", m.Targets, Key.Compare, endpoints(m)),
		graph.Derive(g, "resource.gatewayEndpoints", m.GatewayTargets, Key.Compare, endpoints(m)),
		graph.Derive(g, "resource.autoEndpoints", m.AutoTargets, Key.Compare, autoEndpoints(m)),
		graph.Derive(g, "resource.spreads", m.Spreads, Key.Compare, spread),
		graph.Derive(g, "resource.captures", m.Captures, Key.Compare, capture(m)),
		graph.Derive(g, "resource.podTables", m.PodPorts, Key.Compare, podTable),
		graph.Derive(g, "resource.tokens", m.Tokens, Key.Compare, tokens(m)),
		graph.Derive(g, "resource.portListeners", m.PortListeners, Key.Compare, portListener(m)),
		graph.Derive(g, "resource.tcpListeners", m.TCPListeners, Key.Compare, tcpListener(m)),
		graph.Derive(g, "resource.egressListeners", m.EgressListeners, Key.Compare, egressListener),
		graph.Derive(g, "resource.inboundListeners", m.Inbounds, Key.Compare, inboundListener),
		graph.Derive(g, "resource.gatewayListeners", m.GatewayListeners, Key.Compare, gatewayListener),
		graph.Derive(g, "resource.routeConfigs", m.RouteConfigs, Key.Compare, routeConfig),
		graph.Derive(g, "resource.rests", m.Rests, Key.Compare, rest),
		graph.Derive(g, "resource.gatewayRouteConfigs", m.GatewayRouteConfigs, Key.Compare, gatewayRouteConfig),
		graph.Derive(g, "resource.virtualHosts", m.VirtualHosts, Key.Compare, virtualHost(m)),
		graph.Derive(g, "resource.gatewayVirtualHosts", m.GatewayVirtualHosts, Key.Compare, virtualHost(m)),
		graph.Derive(g, "resource.secrets", m.Secrets, Key.Compare, secrets(m)),
		graph.Derive(g, "resource.names", m.Names, Key.Compare, name),
	}}
}

// put emits a message, or keeps the last good one and reports why the new one is
// not fit to be sent.
func put(
	c *graph.Ctx, emit func(Key, *Resource),
	layer ir.Layer, typeURL, name string, msg message, origins []ir.Origin,
) *Resource {
	r, err := Finish(typeURL, name, msg, origins)
	if err == nil {
		emit(Key{layer, typeURL, name}, r)
		return r
	}
	if len(origins) == 0 {
		c.Keep(err)
	}
	for _, o := range origins {
		c.Keep(ir.Problem{
			Origin: o, Condition: ir.Programmed, Reason: "InvalidResource",
			Message: "the last good state is served, because what this object asks for is not valid for Envoy: " + err.Error(),
		})
	}
	return nil
}

type emitter = func(Key, *Resource)

// belong makes a resource that of a host's port, as users see it. A proxy asks for the host to get it; nobody
// asks for a pattern by its name, and the requests that it takes must find it there.
func (r *Resource) belong(host string, port uint16) {
	if host == ir.HostRest {
		return // everybody's
	}
	r.Host, r.Part, r.Leads = host, strconv.Itoa(int(port)), strings.HasPrefix(host, "*")
}

// stand makes what stands for the pods of a headless host a resource of that host.
func (r *Resource) stand(owner string) {
	if r.Host != owner {
		r.Host = owner
		r.Version += "-pods" // a version follows from all that it says
	}
}

func static(m *model.Model) func(*graph.Ctx, model.One, *ir.Mesh, emitter) {
	return func(c *graph.Ctx, _ model.One, mesh *ir.Mesh, emit emitter) {
		for _, layer := range []ir.Layer{ir.LayerSidecar, ir.LayerRouter} {
			put(c, emit, layer, TypeCluster, ir.ClusterBlackHole, cluster.BlackHole(), nil)
		}
		put(c, emit, ir.LayerSidecar, TypeCluster, ir.ClusterPassthrough, cluster.Passthrough(mesh.TrustDomain), nil)
		if mesh.DynamicDNS {
			put(c, emit, ir.LayerSidecar, TypeCluster, ir.ClusterDynamic, cluster.Dynamic(), nil)
		}
		put(c, emit, ir.LayerSidecar, TypeCluster, ir.ClusterInboundPassthrough, cluster.InboundPassthrough(false), nil)
		if m.SpeaksIPv6(c) {
			put(c, emit, ir.LayerSidecar.IPv6(), TypeCluster, ir.ClusterInboundPassthrough, cluster.InboundPassthrough(true), nil)
		}
		for layer, ask := range map[ir.Layer]bool{ir.LayerSidecar: false, ir.LayerAsking: true} {
			put(c, emit, layer, TypeExtension, ir.AddressesName, filter.AddressTable(ask), nil)
		}
	}
}

func outboundCluster(m *model.Model) func(*graph.Ctx, model.TargetKey, *model.Target, emitter) {
	return func(c *graph.Ctx, k model.TargetKey, t *model.Target, emit emitter) {
		if !m.IsHeld(c, k.Layer) {
			return
		}
		in, ok := m.Cluster(c, k, t)
		if !ok {
			return
		}
		built := cluster.Outbound(in)
		r := put(c, emit, k.Layer, TypeCluster, built.Name, built, in.Origins)
		if r == nil {
			return
		}
		r.belong(k.Cluster.Host, k.Cluster.Port)
		r.stand(m.Owner(c, r.Host))
		if built.EdsClusterConfig != nil {
			r.EDS = built.Name
		}
	}
}

// addressCluster is the cluster of a host's port once more, for those who ask for it by
// the host's address. Their listeners do not know the host.
func addressCluster(m *model.Model) func(*graph.Ctx, model.TCPKey, model.TargetKey, emitter) {
	return func(c *graph.Ctx, k model.TCPKey, at model.TargetKey, emit emitter) {
		t, ok := graph.Get(c, m.Targets, at)
		layer, called := layerOf(m, c, k)
		if !ok || !called || !m.IsHeld(c, k.Layer) {
			return
		}
		in, ok := m.Cluster(c, at, t)
		if !ok {
			return
		}
		built := cluster.As(in, k.Addr.String())
		r := put(c, emit, layer, TypeCluster, built.Name, built, in.Origins)
		if r == nil {
			return
		}
		r.Host, r.Part, r.Hidden = at.Cluster.Host, strconv.Itoa(int(at.Cluster.Port)), true
		if built.EdsClusterConfig != nil {
			r.EDS = built.EdsClusterConfig.ServiceName
		}
	}
}

func inboundClusters(c *graph.Ctx, class string, in *ir.Inbound, emit emitter) {
	for i := range in.Ports {
		built := cluster.Inbound(&in.Ports[i], in.Dialect.PreserveCase, in.IPv6)
		put(c, emit, ir.ClassLayer(class), TypeCluster, built.Name, built, in.Origins)
	}
}

func endpoints(m *model.Model) func(*graph.Ctx, model.TargetKey, *model.Target, emitter) {
	return func(c *graph.Ctx, k model.TargetKey, t *model.Target, emit emitter) {
		if t.Discovery != ir.DiscoverEDS || !m.IsHeld(c, k.Layer) {
			return
		}
		set := m.EndpointsOf(c, k, t)
		m.CheckSubset(c, k.Cluster, t, set)
		near, clients := m.Near(c, k, t)
		for _, who := range clients {
			a := model.Assign(k.Cluster, t.PortName, t.Subset, set, near, who, t.Sticky)
			put(c, emit, who.Layer, TypeEndpoints, k.Cluster.Name(), endpoint.Assignment(a), nil)
		}
	}
}

// autoEndpoints are those that end the mesh's TLS: what is carried to them is that.
func autoEndpoints(m *model.Model) func(*graph.Ctx, model.TargetKey, *model.Target, emitter) {
	return func(c *graph.Ctx, k model.TargetKey, t *model.Target, emit emitter) {
		set := m.EndpointsOf(c, k, t)
		built := endpoint.Assignment(model.Meshed(model.Assign(k.Cluster, t.PortName, t.Subset, set, nil, model.Client{Layer: k.Layer}, false)))
		built.ClusterName = k.Cluster.AutoName()
		put(c, emit, k.Layer, TypeEndpoints, built.ClusterName, built, nil)
	}
}

// spread is the endpoints of a cluster that proxies have from the beginning.
func spread(c *graph.Ctx, class string, in *ir.Assignment, emit emitter) {
	built := endpoint.Assignment(in)
	built.ClusterName = ir.ClusterOwn
	put(c, emit, ir.ClassLayer(class), TypeEndpoints, built.ClusterName, built, nil)
}

// capture is the listener that gets everything, and what a proxy is served that asks for
// an address which nobody has: a cluster that does what the listener does with all else.
func capture(m *model.Model) func(*graph.Ctx, ir.Layer, *ir.OutboundCapture, emitter) {
	return func(c *graph.Ctx, l ir.Layer, in *ir.OutboundCapture, emit emitter) {
		captured{m, l, in.Unknown.Origins(), in.Unknown.Needs()}.put(c, emit, in.Ranges, func(ranges []netip.Prefix) *listenerv3.Listener {
			some := *in
			some.Ranges = ranges
			return listener.OutboundCapture(&some)
		})
		mesh, ok := graph.Get(c, m.Mesh.Table(), model.One{})
		if !ok {
			return
		}
		built := cluster.Unknown(mesh.TrustDomain, in.Unknown.Refused || in.Unknown.IsProxied())
		if at, t, ok := m.TargetAt(c, l, in.Unknown.Proxy); ok {
			if proxy, ok := m.Cluster(c, at, t); ok {
				built = cluster.As(proxy, ir.ClusterUnknown)
			}
		}
		r := put(c, emit, l, TypeCluster, built.Name, built, in.Unknown.Origins())
		if r == nil {
			return
		}
		r.Host, r.Hidden = ir.HostRest, true
		if built.EdsClusterConfig != nil {
			r.EDS = built.EdsClusterConfig.ServiceName
		}
	}
}

func podTable(c *graph.Ctx, k model.PortKey, in *ir.PodPort, emit emitter) {
	built := filter.PodTable(in)
	put(c, emit, k.Layer, TypeExtension, built.Name, built, nil)
}

func tokens(m *model.Model) func(*graph.Ctx, string, *ir.Tokens, emitter) {
	return func(c *graph.Ctx, class string, in *ir.Tokens, emit emitter) {
		built := filter.Tokens(in, m.ChoosesByClaims(c, class))
		put(c, emit, ir.ClassLayer(class), TypeExtension, built.Name, built, in.Origins)
		for _, source := range in.Sources() {
			put(c, emit, ir.ClassLayer(class), TypeCluster, source.ClusterName(), cluster.Keys(&source), in.Origins)
		}
	}
}

func portListener(m *model.Model) func(*graph.Ctx, model.PortKey, *ir.PortOutbound, emitter) {
	return func(c *graph.Ctx, k model.PortKey, in *ir.PortOutbound, emit emitter) {
		origins := append(in.Unknown.Origins(), listener.StreamOrigins(in.Streams)...)
		captured{m, k.Layer, origins, in.Unknown.Needs()}.put(c, emit, in.Ranges, func(ranges []netip.Prefix) *listenerv3.Listener {
			some := *in
			some.Ranges = ranges
			return listener.OutboundPort(&some)
		})
	}
}

func tcpListener(m *model.Model) func(*graph.Ctx, model.TCPKey, *ir.TCPOutbound, emitter) {
	return func(c *graph.Ctx, k model.TCPKey, in *ir.TCPOutbound, emit emitter) {
		layer, ok := layerOf(m, c, k)
		if !ok {
			return
		}
		built := listener.OutboundTCP(in)
		if r := put(c, emit, layer, TypeListener, built.Name, built, listener.StreamOrigins(in.Chains)); r != nil {
			r.belong(in.Host, k.Addr.Port())
			r.Leads, r.Needs = !in.OnDemand, in.Clusters()
			if in.OnDemand {
				r.Version += "-asked" // a version follows from all that it says
			}
		}
	}
}

func egressListener(c *graph.Ctx, k model.EgressKey, in *ir.EgressListener, emit emitter) {
	built := listener.Egress(in)
	if r := put(c, emit, ir.ClassLayer(k.Class), TypeListener, built.Name, built, append(listener.StreamOrigins(in.Chains), in.Origin)); r != nil {
		r.Needs = in.Clusters()
	}
}

func inboundListener(c *graph.Ctx, class string, in *ir.Inbound, emit emitter) {
	put(c, emit, ir.ClassLayer(class), TypeListener, ir.ListenerInbound, listener.InboundCapture(in), in.Origins)
	for i := range in.Ports {
		if p := &in.Ports[i]; p.Listen.IsValid() {
			built := listener.InboundPort(in, p)
			put(c, emit, ir.ClassLayer(class), TypeListener, built.Name, built, in.Origins)
		}
	}
	for _, k := range in.Secrets() { // files, which the proxy reads itself
		put(c, emit, ir.ClassLayer(class), TypeSecret, k.Name(), tls.Secret(k, nil), in.Origins)
	}
}

func gatewayListener(c *graph.Ctx, k model.GatewayListenerKey, in *ir.GatewayListener, emit emitter) {
	origins := append(gatewayOrigins(in.Chains), listener.StreamOrigins(in.Streams)...)
	put(c, emit, ir.ClassLayer(k.Class), TypeListener, k.Name, listener.Gateway(in), origins)
	if chains := in.HTTP3Chains(); len(chains) > 0 {
		put(c, emit, ir.ClassLayer(k.Class), TypeListener, in.HTTP3Name(), listener.GatewayHTTP3(in), gatewayOrigins(chains))
	}
}

func gatewayOrigins(chains []ir.GatewayChain) []ir.Origin {
	var out []ir.Origin
	for i := range chains {
		out = append(out, chains[i].Origin)
	}
	return out
}

// routeConfig is a route configuration with the hosts that belong to no service.
func routeConfig(c *graph.Ctx, k model.PortKey, in *ir.RouteConfig, emit emitter) {
	emptyRouteConfig(c, k.Layer, in, emit)
	rest(c, k, in, emit)
}

// emptyRouteConfig is a route configuration that hosts can be added to.
func emptyRouteConfig(c *graph.Ctx, layer ir.Layer, in *ir.RouteConfig, emit emitter) {
	put(c, emit, layer, TypeRouteConfig, in.Name, route.Config(in), nil)
	none := route.None(in)
	put(c, emit, layer, TypeVirtualHost, none.Name, none, nil)
}

// rest is the host for all that no other host of a route configuration takes.
func rest(c *graph.Ctx, k model.PortKey, in *ir.RouteConfig, emit emitter) {
	built := route.Rest(in)
	if r := put(c, emit, k.Layer, TypeVirtualHost, built.Name, built, in.Unknown.Origins()); r != nil {
		r.Host, r.Needs = ir.HostRest, in.Unknown.Needs()
	}
}

func gatewayRouteConfig(c *graph.Ctx, k model.GatewayRouteConfigKey, in *ir.RouteConfig, emit emitter) {
	emptyRouteConfig(c, ir.ClassLayer(k.Class), in, emit)
}

func virtualHost(m *model.Model) func(*graph.Ctx, model.VirtualHostKey, *ir.VirtualHost, emitter) {
	return func(c *graph.Ctx, k model.VirtualHostKey, in *ir.VirtualHost, emit emitter) {
		if in.Alone {
			built := route.Alone(in)
			put(c, emit, k.Layer, TypeRouteConfig, built.Name, built, in.Origins) // to those whose listener names it
			return
		}
		r := put(c, emit, k.Layer, TypeVirtualHost, k.Host.Name(), route.VirtualHost(in), in.Origins)
		if r == nil {
			return
		}
		r.belong(k.Host.Host, in.Port)
		r.stand(m.Owner(c, r.Host))
		r.Needs = in.Clusters()
		if in.Port != 0 && r.Part != k.Host.RouteConfig {
			r.Version += "-of-" + r.Part // a version follows from all that it says
		}
		if r.Leads {
			return
		}
		if in.Covered {
			r.Leads = true
			r.Version += "-covered"
		}
		for _, d := range in.Domains {
			if d != k.Host.Host {
				r.Aliases = append(r.Aliases, ir.VirtualHostKey{RouteConfig: k.Host.RouteConfig, Host: d}.Name())
			}
		}
	}
}

func name(c *graph.Ctx, k model.NameKey, in *ir.Name, emit emitter) {
	put(c, emit, k.Layer, TypeName, k.Host, dns.Domain(in), nil)
}

func secrets(m *model.Model) func(*graph.Ctx, model.SecretKey, struct{}, emitter) {
	return func(c *graph.Ctx, k model.SecretKey, _ struct{}, emit emitter) {
		if cred, users, ok := m.Secret(c, k); ok {
			put(c, emit, ir.ClassLayer(k.Class), TypeSecret, k.Secret.Name(), tls.Secret(k.Secret, cred), users)
		}
	}
}
