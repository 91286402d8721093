// SPDX-License-Identifier: Apache-2.0

package xds

import "slices"

// The resource types whose order on a stream matters, as the type URLs that
// Envoy asks for.
const (
	ClusterType         = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType        = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType        = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType           = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	VirtualHostType     = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
	SecretType          = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	ExtensionConfigType = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
)

// Resource is one discovery resource as proxies receive it. It is immutable
// after it was published and may be placed into any number of layers; the
// placements share it by pointer.
type Resource struct {
	// Type is the resource's type URL.
	Type string
	// Name is the resource's name, unique per type in a layer. A virtual host
	// is named ROUTECONFIG/HOST.
	Name string
	// Version is a hash of the content. Equal versions of one name mean equal
	// bodies, whichever replica of the control plane made them.
	Version string
	// Body is the marshalled message, without the Any around it.
	Body []byte
	// Aliases are further names under which a client may ask for a virtual
	// host: ROUTECONFIG/DOMAIN, in lower case and without a port.
	Aliases []string
	// Key is what the resource belongs to, for example a host; see Scope. All
	// versions of a name have the same key. Empty: every class sees it.
	Key string
	// Part is the part of that to which it belongs, for example a port; see Scope.
	Part string
	// Leads is set for a resource that makes a client ask for others, such as
	// a listener, or that a client cannot ask for, such as what has a pattern for
	// a name: a class that asks sees it without having learned of it.
	Leads bool
	// Hidden is set for a resource that only those are sent who asked for it, and the
	// others of their class if that learns. It has a key. All versions of a name agree.
	Hidden bool
	// Needs are the clusters that a virtual host sends requests to, or a listener
	// connections. A class that sees the host sees them, too; one that sees the
	// listener does unless it asks.
	Needs []string
	// Origins name the objects that the resource was made of; they come back
	// in the NACK when a proxy refuses it.
	Origins []string
	// Owners name those who are told how many proxies hold the resource.
	Owners []string
	// EDS is the name of the ClusterLoadAssignment that a cluster needs before
	// it is warm. Empty for other types and for clusters that need none.
	EDS string
}

// Layer names a set of resources that classes have in common.
type Layer string

// Placement puts a resource into a layer, in place of the layer's earlier
// resource of that type and name.
type Placement struct {
	Layer    Layer
	Resource *Resource
}

// Removal takes a resource out of a layer. What a lower layer holds under the
// same name becomes visible again.
type Removal struct {
	Layer Layer
	Type  string
	Name  string
}

// Class is a kind of proxy: all proxies of one class see the same resources.
type Class struct {
	// Key is what Options.Classify returns for the proxies of the class.
	Key string
	// Layers are the class's layers from the lowest to the highest. A layer
	// that holds nothing yet is fine.
	Layers []Layer
	// Scope narrows what the class sees of its layers; nil does not.
	Scope *Scope
}

// Rest is the key of the virtual host that gets the requests of a route
// configuration for which there is no other host. Clients that ask must not
// hold it: they ask only when no host fits. A cluster with that key, which is hidden,
// is what is served for addresses that nobody has.
const Rest = "*"

// Scope is what a class sees of the resources that have a key.
type Scope struct {
	// Keys are sorted; all that has one of them is seen, unless its part is in Parts.
	// With All every key is one of them.
	Keys []string
	All  bool
	// Parts are sorted by name. Of what has such a part the class sees what it lists.
	Parts []Part
	// Asks lets the clients of the class ask for what it does not see. What
	// one asked for, all clients of the class see from then on. Without it the
	// class sees Rest, and is refused what it asks for.
	Asks bool
	// Lessons are what the class knows from earlier; they only ever add.
	Lessons []Lesson
	// Over is a layer over all others, for as long as the class has the scope: a class
	// that learned too much loses it. Empty: none.
	Over Layer
}

// Part is what a class sees of one part of what resources belong to.
type Part struct {
	Name string
	Keys []string // sorted
	All  bool     // every key is one of them
}

// Lists tells whether all of a part is seen that has a key.
func (s *Scope) Lists(key, part string) bool {
	for i := range s.Parts {
		if p := &s.Parts[i]; p.Name == part {
			return p.All || slices.Contains(p.Keys, key)
		}
	}
	return s.All || slices.Contains(s.Keys, key)
}

func (p Part) equal(o Part) bool {
	return p.Name == o.Name && p.All == o.All && slices.Equal(p.Keys, o.Keys)
}

// Lesson is a resource that a class learned of: a virtual host or a cluster.
type Lesson struct{ Type, Name string }

// Batch is what one commit of the publisher changed. Sessions see all of it
// or nothing of it.
type Batch struct {
	Set    []Placement
	Delete []Removal
	// Classes defines classes, or gives known ones other layers.
	Classes []Class
	// DropClasses forgets classes. Proxies of a dropped class keep what they
	// hold and are sent nothing until the class is defined again.
	DropClasses []string
}

// Receipt says what a batch did.
type Receipt struct {
	// Changed counts placements that were set to another version or removed.
	Changed int
	// Marked counts pairs of session and name that were told of a change.
	Marked int
}

// NACK tells that a proxy refused one version of one resource. The version is
// not sent again to a proxy that refused it; when no proxy ever accepted it,
// no proxy is sent it and the last good version is served instead.
type NACK struct {
	Class   string
	NodeID  string
	Type    string
	Name    string
	Version string
	Origins []string
	// Message is the proxy's own words, cut to 4 KiB.
	Message string
	// Withheld is true when the version is now withheld from all proxies of
	// the layer, not only from this one.
	Withheld bool

	version *version
}
