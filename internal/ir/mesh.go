// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"strings"
	"time"
)

// DefaultDetection is for how long the first bytes of clients are waited for where
// the mesh's settings do not say it.
const DefaultDetection = 200 * time.Millisecond

// Mesh is the settings that hold everywhere. It is one row.
type Mesh struct {
	TrustDomain   string
	RootNamespace string // policies here hold for the whole mesh
	ClusterDomain string // "cluster.local"
	ClusterID     string
	RegistryOnly  bool   // outboundTrafficPolicy: unknown hosts are refused
	DynamicDNS    bool   // outboundTrafficPolicy: unknown hosts are resolved as requests name them
	AccessLogFile string // empty: no access log
	Paths         PathNormalization
	Edge          EdgeTopology
	Dialect       Dialect
	Near          *Nearness // of hosts with outlier detection; nil: none
	NearByZones   *Nearness // of all hosts, before Near; nil: none

	Clients ClientDefaults

	// Detection is for how long a client's first bytes are waited for where its
	// protocol is not known. 0: nothing is detected, such ports carry bytes.
	Detection time.Duration

	Ingress IngressSettings // zero: Ingresses of Kubernetes are not served

	DiscoveryScope DiscoveryScope // of sidecars whose namespace and pods say nothing
}

// ClientDefaults is how hosts are called of which no route and no policy says it. The
// zero value is the control plane's own way.
type ClientDefaults struct {
	Retry          *Retry
	RetryBudget    *RetryBudget
	ConnectTimeout time.Duration
	Keepalive      *Keepalive
	Upgrade        bool // HTTP/2 to servers of the mesh whose ports declare HTTP
}

// DiscoveryScope is how much of the mesh a sidecar is told.
type DiscoveryScope uint8

// The scopes. Inherited is that of the namespace, then of the mesh, which is
// on demand when it says nothing.
const (
	ScopeInherited DiscoveryScope = iota
	ScopeOnDemand                 // what its workload uses
	ScopeFull                     // everything that its namespace sees
)

// AnnotationDiscoveryScope chooses the scope of a pod's sidecar, or of those of a
// namespace.
const AnnotationDiscoveryScope = "meshwright.dev/discovery-scope"

var discoveryScopes = map[string]DiscoveryScope{"": ScopeInherited, "on-demand": ScopeOnDemand, "full": ScopeFull}

// ParseDiscoveryScope reads what users write; the empty word is ScopeInherited.
func ParseDiscoveryScope(word string) (DiscoveryScope, bool) {
	s, ok := discoveryScopes[word]
	return s, ok
}

// String is what users write.
func (s DiscoveryScope) String() string {
	for word, value := range discoveryScopes {
		if value == s {
			return word
		}
	}
	return "unknown"
}

// Scope is what the proxies of a class are told of what their layers hold. The
// zero value is nothing but what belongs to no host.
type Scope struct {
	Layers []Layer // lowest first
	Full   bool    // everything
	Asks   bool    // more, as soon as a request needs it
	Imports
}

// Imports is the hosts that proxies are told of from the start: at the ports that Ports
// names those that it lists, at all others those of Told.
type Imports struct {
	Told  Told
	Ports []PortTold // sorted by port
}

// Told is hosts: every one, or those that are named.
type Told struct {
	All   bool
	Hosts []string // sorted
}

// PortTold is the hosts that proxies are told of at a port.
type PortTold struct {
	Port uint16
	Told
}

// Role is what a proxy is for.
type Role uint8

// The roles.
const (
	RoleSidecar Role = iota
	RoleRouter
)

// String is the first part of a node id.
func (r Role) String() string {
	if r == RoleRouter {
		return "router"
	}
	return "sidecar"
}

// Class is a set of proxies that get the same configuration. Everything that a
// builder may know of a proxy is in here.
type Class struct {
	Role           Role
	Cluster        string
	Network        string
	Namespace      string
	Workload       string
	ServiceAccount string
	Labels         Labels // without labels that differ between replicas
	Locality       Locality
	DiscoveryScope DiscoveryScope // as the pods say
	Group          string         // of machines: their WorkloadGroup; empty for pods
	IPv6           bool           // listens on IPv6, too

	// What the pods say of what they serve; nil: as the mesh says.
	Edge    *EdgeTopology
	Dialect *Dialect
	HTTP10  bool // whatever Dialect says
}

// Topology is what stands between the proxies of a class and their clients.
func (c *Class) Topology(mesh *Mesh) EdgeTopology {
	if c.Edge != nil {
		return *c.Edge
	}
	return mesh.Edge
}

// Speaks is how the proxies of a class speak with their clients.
func (c *Class) Speaks(mesh *Mesh) Dialect {
	out := mesh.Dialect
	if c.Dialect != nil {
		out = *c.Dialect
	}
	out.HTTP10 = mesh.Dialect.HTTP10 || c.HTTP10
	return out
}

// Layer is a set of resources that several classes share; see the xds package.
type Layer string

// Compare orders by name.
func (l Layer) Compare(o Layer) int { return strings.Compare(string(l), string(o)) }

// The layers that exist once.
const (
	LayerSidecar Layer = "sidecar"
	LayerRouter  Layer = "router"
	LayerMesh    Layer = "mesh"
	LayerAsking  Layer = "asking" // over all others of sidecars that ask
)

// IPv6 holds, over a layer of sidecars, what those with an IPv6 address have otherwise.
// A machine without IPv6 refuses whatever names an address of it.
func (l Layer) IPv6() Layer { return l + "+ipv6" }

// NamespaceLayer holds what only the sidecars of one namespace see.
func NamespaceLayer(namespace string) Layer { return Layer("namespace/" + namespace) }

// LocalityLayer holds what proxies of one locality see otherwise than the others that
// have a layer.
func LocalityLayer(base Layer, l Locality) Layer {
	return base + Layer("@"+l.Region+"/"+l.Zone+"/"+l.SubZone)
}

// SidecarLayer holds what a Sidecar says for the sidecars of one namespace.
func SidecarLayer(namespace string, sidecar ConfigKey) Layer {
	return Layer(sidecarLayerPrefix + namespace + "/" + sidecar.String())
}

const sidecarLayerPrefix = "sidecar/"

// ParseSidecarLayer reads what SidecarLayer wrote.
func ParseSidecarLayer(l Layer) (namespace string, sidecar ConfigKey, ok bool) {
	rest, ok := strings.CutPrefix(string(l), sidecarLayerPrefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return "", ConfigKey{}, false
	}
	return parts[0], ConfigKey{Namespace: parts[1], Name: parts[2]}, true
}

// ClassLayer holds what only one class has.
func ClassLayer(class string) Layer { return Layer("class/" + class) }
