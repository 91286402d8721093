// SPDX-License-Identifier: Apache-2.0

// Package model derives what the mesh is from the objects that users wrote.
//
// All of it is tables of the incremental engine. The order below is the order of
// evaluation; a table reads only tables above it.
//
//	sources    mesh services slices pods nodes credentials routes policies gateways peerauthentications requestauthentications proxyconfigs namespaces
//	           serviceEntries workloadEntries remembered sidecars classes
//	injection  proxyDefaults
//	security   peerAuth, peerAuthDisabling, tokens
//	hosts      wishes, addresses, allocations, entryHosts, serviceHosts, hosts
//	scopes     sidecarRules, sidecars.chosen, homes, listings, imported, unknowns, scopes
//	endpoints  pods.placed, backends, endpointSets, identities, targetPorts, entrySets
//	delegation routesMerged
//	policies   policyHosts, choices, subsets, routesWeighed, routesSettled, subsetsNamed, targets, nearness, hashes
//	outbound   strays, coverings, virtualHosts, portUses, routeConfigs, rests, portListeners, podPorts, streams, portStreams, ranges, readPorts,
//	           tcpListeners, addressOwners, captures
//	inbound    inbounds
//	dns        names
//	gateways   gatewayViews, credentialsKept, credentialStates, gatewayListeners, gatewayHosts, gatewayVirtualHosts, gatewayTargets, clientSecrets, gatewayClientSecrets, secrets, autoTargets
//	zones      zoned, spreads
//	reports    routeReferences, sidecarReferences, policyReferences
package model

import (
	"cmp"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// Sources are the tables that the outside writes.
type Sources struct {
	Mesh            *graph.Source[One, *ir.Mesh]
	Services        *graph.Source[ir.ObjectKey, *ir.Service]
	Slices          *graph.Source[ir.ObjectKey, *ir.EndpointSlice]
	Pods            *graph.Source[ir.ObjectKey, *ir.Pod]
	Nodes           *graph.Source[ir.NodeKey, *ir.Node]
	Credentials     *graph.Source[ir.ConfigKey, *ir.Credential]
	Routes          *graph.Source[ir.ConfigKey, *ir.Routes]
	Policies        *graph.Source[ir.ConfigKey, *ir.TrafficPolicy]
	Gateways        *graph.Source[ir.ConfigKey, *ir.Gateway]
	Ingresses       *graph.Source[ir.ConfigKey, *ir.Ingress]
	IngressClasses  *graph.Source[string, *ir.IngressClass]
	ServiceEntries  *graph.Source[ir.ConfigKey, *ir.ServiceEntry]
	WorkloadEntries *graph.Source[ir.ConfigKey, *ir.Workload]
	WorkloadHealths *graph.Source[ir.ConfigKey, *ir.WorkloadHealth] // by WorkloadEntry
	WorkloadGroups  *graph.Source[ir.ConfigKey, *ir.WorkloadGroup]
	Remembered      *graph.Source[ir.ConfigKey, *ir.Allocated] // by ServiceEntry: what its status says
	Sidecars        *graph.Source[ir.ConfigKey, *ir.Sidecar]
	PeerAuths       *graph.Source[ir.ConfigKey, *ir.PeerAuthentication]
	RequestAuths    *graph.Source[ir.ConfigKey, *ir.RequestAuthentication]
	ProxyConfigs    *graph.Source[ir.ConfigKey, *ir.ProxyConfig]
	Namespaces      *graph.Source[string, *ir.Namespace]
	Classes         *graph.Source[string, *ir.Class]
}

// One is the key of a table with a single row.
type One struct{}

// Compare is 0.
func (One) Compare(One) int { return 0 }

// Model is the derived tables, as far as resources are built from them.
type Model struct {
	Sources

	addressTables
	entryTables
	ingressTables
	sidecarTables

	peerAuth        *graph.Table[string, *peerAuth]
	disabling       *graph.Table[string, struct{}]
	serviceHosts    *graph.Table[string, *definition]
	hosts           *graph.Table[scopeHost, *ir.Host]
	hostViews       *graph.Index[string, scopeHost, *ir.Host] // hosts by name
	hostNames       *graph.Table[string, struct{}]
	narrowHosts     *graph.Table[string, struct{}] // that some namespace sees in its own way
	hostsByTail     *graph.Index[string, string, struct{}]
	choices         *graph.Table[seenHost, choice]
	scopes          *graph.Index[string, seenHost, choice] // choices by host
	defined         *graph.Table[subsetName, struct{}]
	merged          *graph.Table[ir.ConfigKey, *ir.Routes] // routes with the rules that they delegate to
	delegators      *graph.Table[ir.ConfigKey, struct{}]   // routes that others delegate to
	settled         *graph.Table[ir.ConfigKey, *ir.Routes] // routes that are in effect
	lent            *graph.Table[seenSubset, *ir.Subset]   // subsets that routes in effect name
	lentTo          *graph.Index[seenHost, seenSubset, *ir.Subset]
	places          *graph.Index[string, placeKey, struct{}] // of sidecars, by namespace; "": of all
	sidecars        *graph.Index[One, string, *ir.Class]
	sessions        *graph.Table[string, *ir.Session] // by host: of those that have one
	nearness        *graph.Table[TargetKey, *ir.Nearness]
	hashes          *graph.Table[TargetKey, ir.LoadBalancer]
	hashed          *graph.Table[string, struct{}] // hosts that have a hash
	streams         *graph.Table[TargetKey, ir.Stream]
	streamed        *graph.Table[string, struct{}] // hosts that have a stream
	targetPorts     *graph.Table[string, *ir.TargetPorts]
	namespaces      *graph.Table[string, struct{}]          // with sidecars
	classesOf       *graph.Index[string, string, *ir.Class] // by namespace
	listeningOnIPv6 *graph.Table[One, struct{}]             // one row, if any sidecar does
	byPair          *graph.Index[namespacePair, ir.ObjectKey, *ir.Service]
	gatewayHosts    *graph.Table[gatewayHostKey, *gatewayHost]
	gatewayNearness *graph.Table[TargetKey, *ir.Nearness]
	zoned           *graph.Table[ir.Layer, struct{}] // with clusters that are balanced by zones

	classesByLabel        *graph.Index[ir.Label, string, *ir.Class] // sidecars
	routesByStreamGateway *graph.Index[ir.ConfigKey, ir.ConfigKey, *ir.Routes]

	credentials      *graph.Table[ir.ConfigKey, *ir.Credential] // as they last were good
	credentialStates *graph.Table[ir.ConfigKey, credentialState]
	secretUsers      *graph.Index[SecretKey, GatewayListenerKey, *ir.GatewayListener]

	clientSecrets        *graph.Table[TargetKey, *clientSecrets]
	gatewayClientSecrets *graph.Table[TargetKey, *clientSecrets]
	secretClients        []*graph.Index[SecretKey, TargetKey, *clientSecrets]

	ProxyDefaults *graph.Table[string, *ir.ProxyDefaults]

	Tokens    *graph.Table[string, *ir.Tokens] // by class, of those that look at any
	verifying *graph.Table[string, struct{}]   // classes that look at tokens
	claimed   *graph.Table[string, struct{}]   // classes of gateways whose routes look at claims

	EndpointSets *graph.Table[string, *ir.EndpointSet]
	Identities   *graph.Table[string, *ir.HostIdentity]

	Targets        *graph.Table[TargetKey, *Target]
	GatewayTargets *graph.Table[TargetKey, *Target]
	AutoTargets    *graph.Table[TargetKey, *Target]

	VirtualHosts    *graph.Table[VirtualHostKey, *ir.VirtualHost]
	RouteConfigs    *graph.Table[PortKey, *ir.RouteConfig]
	EgressListeners *graph.Table[EgressKey, *ir.EgressListener]
	Rests           *graph.Table[PortKey, *ir.RouteConfig] // of which Sidecars say otherwise what becomes of unknown hosts
	PortListeners   *graph.Table[PortKey, *ir.PortOutbound]
	PodPorts        *graph.Table[PortKey, *ir.PodPort]
	TCPListeners    *graph.Table[TCPKey, *ir.TCPOutbound]
	Captures        *graph.Table[ir.Layer, *ir.OutboundCapture]
	Inbounds        *graph.Table[string, *ir.Inbound]
	Scopes          *graph.Table[string, *ir.Scope] // by class
	Names           *graph.Table[NameKey, *ir.Name]
	Spreads         *graph.Table[string, *ir.Assignment] // by class, of those that tell places apart: its pods
	Secrets         *graph.Table[SecretKey, struct{}]

	GatewayViews        *graph.Table[string, *GatewayView]
	GatewayListeners    *graph.Table[GatewayListenerKey, *ir.GatewayListener]
	GatewayVirtualHosts *graph.Table[VirtualHostKey, *ir.VirtualHost]
	GatewayRouteConfigs *graph.Table[GatewayRouteConfigKey, *ir.RouteConfig]
}

// New builds the tables into an empty graph.
func New(g *graph.Graph) *Model {
	m := &Model{Sources: Sources{
		Mesh:            graph.NewSource[One, *ir.Mesh](g, "mesh", One.Compare),
		Services:        graph.NewSource[ir.ObjectKey, *ir.Service](g, "services", ir.ObjectKey.Compare),
		Slices:          graph.NewSource[ir.ObjectKey, *ir.EndpointSlice](g, "slices", ir.ObjectKey.Compare),
		Pods:            graph.NewSource[ir.ObjectKey, *ir.Pod](g, "pods", ir.ObjectKey.Compare),
		Nodes:           graph.NewSource[ir.NodeKey, *ir.Node](g, "nodes", ir.NodeKey.Compare),
		Credentials:     graph.NewSource[ir.ConfigKey, *ir.Credential](g, "credentials", ir.ConfigKey.Compare),
		Routes:          graph.NewSource[ir.ConfigKey, *ir.Routes](g, "routes", ir.ConfigKey.Compare),
		Policies:        graph.NewSource[ir.ConfigKey, *ir.TrafficPolicy](g, "policies", ir.ConfigKey.Compare),
		Gateways:        graph.NewSource[ir.ConfigKey, *ir.Gateway](g, "gateways", ir.ConfigKey.Compare),
		Ingresses:       graph.NewSource[ir.ConfigKey, *ir.Ingress](g, "ingresses", ir.ConfigKey.Compare),
		IngressClasses:  graph.NewSource[string, *ir.IngressClass](g, "ingressClasses", strings.Compare),
		ServiceEntries:  graph.NewSource[ir.ConfigKey, *ir.ServiceEntry](g, "serviceEntries", ir.ConfigKey.Compare),
		WorkloadEntries: graph.NewSource[ir.ConfigKey, *ir.Workload](g, "workloadEntries", ir.ConfigKey.Compare),
		WorkloadHealths: graph.NewSource[ir.ConfigKey, *ir.WorkloadHealth](g, "workloadHealths", ir.ConfigKey.Compare),
		WorkloadGroups:  graph.NewSource[ir.ConfigKey, *ir.WorkloadGroup](g, "workloadGroups", ir.ConfigKey.Compare),
		Remembered:      graph.NewSource[ir.ConfigKey, *ir.Allocated](g, "remembered", ir.ConfigKey.Compare),
		Sidecars:        graph.NewSource[ir.ConfigKey, *ir.Sidecar](g, "sidecars", ir.ConfigKey.Compare),
		PeerAuths:       graph.NewSource[ir.ConfigKey, *ir.PeerAuthentication](g, "peerAuthentications", ir.ConfigKey.Compare),
		RequestAuths:    graph.NewSource[ir.ConfigKey, *ir.RequestAuthentication](g, "requestAuthentications", ir.ConfigKey.Compare),
		ProxyConfigs:    graph.NewSource[ir.ConfigKey, *ir.ProxyConfig](g, "proxyConfigs", ir.ConfigKey.Compare),
		Namespaces:      graph.NewSource[string, *ir.Namespace](g, "namespaces", strings.Compare),
		Classes:         graph.NewSource[string, *ir.Class](g, "classes", strings.Compare),
	}}
	m.deriveNamespaces(g)
	m.deriveProxyDefaults(g)
	m.derivePeerAuth(g)
	m.deriveDisabling(g)
	m.deriveTokens(g)
	m.deriveEntries(g)
	m.deriveHosts(g)
	m.deriveSidecars(g)
	m.deriveScopes(g)
	m.deriveSelectors(g)
	m.deriveEndpoints(g)
	m.deriveIngresses(g)
	m.deriveDelegates(g)
	m.deriveEntryEndpoints(g)
	m.derivePolicies(g)
	m.deriveVirtualHosts(g)
	m.deriveOutbound(g)
	m.deriveEgress(g)
	m.deriveInbound(g)
	m.deriveNames(g)
	m.deriveGateways(g)
	m.deriveCredentials(g)
	m.deriveGatewayListeners(g)
	m.deriveGatewayHosts(g)
	m.deriveSecrets(g)
	m.deriveAutoTargets(g)
	m.deriveZones(g)
	m.deriveReferences(g)
	return m
}

// layers is the overlay of a class, lowest first.
func (m *Model) layers(c *graph.Ctx, key string, class *ir.Class) []ir.Layer {
	if class.Role == ir.RoleRouter {
		return []ir.Layer{ir.LayerRouter, ir.ClassLayer(key)}
	}
	var out []ir.Layer
	add := func(l ir.Layer) {
		out = append(out, l)
		if class.IPv6 {
			out = append(out, l.IPv6())
		}
	}
	add(ir.LayerSidecar)
	for _, shared := range []ir.Layer{ir.LayerMesh, ir.NamespaceLayer(class.Namespace)} {
		add(shared)
		if class.Locality != (ir.Locality{}) {
			out = append(out, ir.LocalityLayer(shared, class.Locality))
		}
	}
	if use, ok := m.sidecarOf(c, key); ok && m.isLayered(c, use) {
		add(use.layer())
	}
	return append(out, ir.ClassLayer(key))
}

// VirtualHostKey is a virtual host in a layer.
type VirtualHostKey struct {
	Layer ir.Layer
	Host  ir.VirtualHostKey
}

// Compare orders by layer, then host.
func (k VirtualHostKey) Compare(o VirtualHostKey) int {
	return cmp.Or(strings.Compare(string(k.Layer), string(o.Layer)), k.Host.Compare(o.Host))
}

// TargetKey is an outbound cluster in a layer.
type TargetKey struct {
	Layer   ir.Layer
	Cluster ir.ClusterKey
}

// Compare orders by layer, then cluster.
func (k TargetKey) Compare(o TargetKey) int {
	return cmp.Or(strings.Compare(string(k.Layer), string(o.Layer)), k.Cluster.Compare(o.Cluster))
}

func (m *Model) deriveNamespaces(g *graph.Graph) {
	m.classesByLabel = graph.NewIndex(g, "classes.byLabel", m.Classes.Table(), comparePair,
		func(_ string, c *ir.Class) []ir.Label {
			if c.Role != ir.RoleSidecar {
				return nil
			}
			return c.Labels
		})
	m.classesOf = graph.NewIndex(g, "classes.byNamespace", m.Classes.Table(), strings.Compare,
		func(_ string, c *ir.Class) []string { return []string{c.Namespace} })
	m.listeningOnIPv6 = graph.NewIndex(g, "classes.ipv6", m.Classes.Table(), One.Compare,
		func(_ string, c *ir.Class) []One {
			if !c.IPv6 || c.Role != ir.RoleSidecar {
				return nil
			}
			return []One{{}}
		}).Keys()
	m.namespaces = graph.NewIndex(g, "sidecarNamespaces", m.Classes.Table(), strings.Compare,
		func(_ string, c *ir.Class) []string {
			if c.Role != ir.RoleSidecar {
				return nil
			}
			return []string{c.Namespace}
		}).Keys()
}

// SpeaksIPv6 tells whether any sidecar listens on IPv6: until one does, nothing is built
// for those that do.
func (m *Model) SpeaksIPv6(c *graph.Ctx) bool { return has(c, m.listeningOnIPv6, One{}) }

// IPv6Layer is where those that see a layer of sidecars and listen on IPv6 have what is
// of no use to others; there is none when nobody does.
func (m *Model) IPv6Layer(c *graph.Ctx, l ir.Layer) (ir.Layer, bool) {
	if key, ok := strings.CutPrefix(string(l), string(ir.ClassLayer(""))); ok {
		class, known := graph.Get(c, m.Classes.Table(), key)
		return l, known && class.IPv6
	}
	return l.IPv6(), m.SpeaksIPv6(c)
}

// IsHeld tells whether a layer can be part of what a proxy holds. Sidecars of a
// namespace may come later; until then nothing is built for them.
func (m *Model) IsHeld(c *graph.Ctx, l ir.Layer) bool {
	if _, _, ok := ir.ParseSidecarLayer(l); ok {
		_, held := m.viewerOf(c, l)
		return held
	}
	namespace, ok := strings.CutPrefix(string(l), string(ir.NamespaceLayer("")))
	if !ok {
		return true
	}
	return m.activeIn(c, namespace)
}

// settings is the mesh's row; before it was set nothing can be built.
func (m *Model) settings(c *graph.Ctx) (*ir.Mesh, bool) { return graph.Get(c, m.Mesh.Table(), One{}) }
