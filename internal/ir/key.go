// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"strings"
)

// ObjectKey names a namespaced Kubernetes object of one cluster.
type ObjectKey struct {
	Cluster   string
	Namespace string
	Name      string
}

// Compare orders keys by namespace, then name, then cluster.
func (k ObjectKey) Compare(o ObjectKey) int {
	return cmp.Or(
		strings.Compare(k.Namespace, o.Namespace),
		strings.Compare(k.Name, o.Name),
		strings.Compare(k.Cluster, o.Cluster),
	)
}

// String is CLUSTER/NAMESPACE/NAME.
func (k ObjectKey) String() string { return k.Cluster + "/" + k.Namespace + "/" + k.Name }

// NodeKey names a node of one cluster.
type NodeKey struct {
	Cluster string
	Name    string
}

// Compare orders by cluster, then name.
func (k NodeKey) Compare(o NodeKey) int {
	return cmp.Or(strings.Compare(k.Cluster, o.Cluster), strings.Compare(k.Name, o.Name))
}

// ConfigKey names a configuration object: the kind of rows is known from the table.
type ConfigKey struct {
	Namespace string
	Name      string
}

// Compare orders by namespace, then name.
func (k ConfigKey) Compare(o ConfigKey) int {
	return cmp.Or(strings.Compare(k.Namespace, o.Namespace), strings.Compare(k.Name, o.Name))
}

// String is NAMESPACE/NAME.
func (k ConfigKey) String() string { return k.Namespace + "/" + k.Name }

// Origin says which object, and which part of it, a row or a resource comes from.
// It travels with the row into Envoy's metadata, NACK reports and status.
type Origin struct {
	Kind      string // Kubernetes kind, for example "VirtualService"
	Namespace string
	Name      string
	Section   string // a part such as "http[2]" or a server's port name; empty for the whole object
}

// Object is the origin without its section.
func (o Origin) Object() Origin { o.Section = ""; return o }

// Key is the namespace and name of the object.
func (o Origin) Key() ConfigKey { return ConfigKey{Namespace: o.Namespace, Name: o.Name} }

// Compare orders by kind, namespace, name, section.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(
		strings.Compare(o.Kind, p.Kind),
		strings.Compare(o.Namespace, p.Namespace),
		strings.Compare(o.Name, p.Name),
		strings.Compare(o.Section, p.Section),
	)
}

// String is KIND/NAMESPACE/NAME[#SECTION]; ParseOrigin reads it back.
func (o Origin) String() string {
	s := o.Kind + "/" + o.Namespace + "/" + o.Name
	if o.Section != "" {
		s += "#" + o.Section
	}
	return s
}

// ParseOrigin reads what Origin.String wrote; ok is false for any other text.
func ParseOrigin(s string) (o Origin, ok bool) {
	s, section, has := strings.Cut(s, "#")
	parts := strings.SplitN(s, "/", 3)
	if len(parts) != 3 || parts[0] == "" || parts[2] == "" || has && section == "" {
		return Origin{}, false
	}
	o.Kind, o.Namespace, o.Name, o.Section = parts[0], parts[1], parts[2], section
	return o, true
}

// Precedence is the one total order of competing objects: the older one first,
// then by namespace and name.
// Objects of the client's own namespace are preferred before this order is asked.
func Precedence(aCreated int64, a Origin, bCreated int64, b Origin) int {
	return cmp.Or(cmp.Compare(aCreated, bCreated), a.Compare(b))
}
