// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// Scope is what a projection needs to know besides the object.
type Scope struct {
	Cluster string // id of the cluster that the object comes from
	Domain  string // DNS domain of the cluster, "cluster.local"
	Exports *Exports
}

// Exports is who sees objects that do not say it, in the words of exportTo; what is
// empty is everybody. Nil is all empty.
type Exports struct {
	Services []string // and ServiceEntries
	Routes   []string // VirtualServices
	Policies []string // DestinationRules
}

func (s Scope) exports() Exports {
	if s.Exports == nil {
		return Exports{}
	}
	return *s.Exports
}

// Host is the fully qualified name of a Service.
func (s Scope) Host(namespace, name string) string {
	return name + "." + namespace + ".svc." + s.Domain
}

// resolve completes a name without dots as a Service of the namespace. Any other
// name is taken as it is, as https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination
// says of short names.
func (s Scope) resolve(host, namespace string) string {
	host = strings.ToLower(host)
	if host == "" || strings.ContainsAny(host, ".*:") {
		return host
	}
	return s.Host(namespace, host)
}

func (s Scope) key(o *metav1.ObjectMeta) ir.ObjectKey {
	return ir.ObjectKey{Cluster: s.Cluster, Namespace: o.Namespace, Name: o.Name}
}

func configKey(o *metav1.ObjectMeta) ir.ConfigKey {
	return ir.ConfigKey{Namespace: o.Namespace, Name: o.Name}
}

// created is zero for an object that was not stored yet.
func created(o *metav1.ObjectMeta) int64 {
	if o.CreationTimestamp.IsZero() {
		return 0
	}
	return o.CreationTimestamp.Unix()
}
