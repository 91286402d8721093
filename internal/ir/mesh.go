// SPDX-License-Identifier: Apache-2.0

package ir

// Mesh is the settings that hold everywhere. It is one row.
type Mesh struct {
	TrustDomain   string
	RootNamespace string // policies here hold for the whole mesh
	ClusterDomain string // "cluster.local"
	ClusterID     string
	RegistryOnly  bool   // outboundTrafficPolicy: unknown hosts are refused
	AccessLogFile string // empty: no access log
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
}

// Layer is a set of resources that several classes share; see the xds package.
type Layer string

// The layers that exist once.
const (
	LayerSidecar Layer = "sidecar"
	LayerRouter  Layer = "router"
	LayerMesh    Layer = "mesh"
)

// NamespaceLayer holds what only the sidecars of one namespace see.
func NamespaceLayer(namespace string) Layer { return Layer("namespace/" + namespace) }

// ClassLayer holds what only one class has.
func ClassLayer(class string) Layer { return Layer("class/" + class) }
