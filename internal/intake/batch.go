// SPDX-License-Identifier: Apache-2.0

// Package intake reads clusters into rows: it lists and watches objects, projects
// each when it arrives, and keeps what changed until the mesh takes it.
package intake

import "github.com/meshwright/meshwright/internal/ir"

// Batch is what changed since the last drain, the last state of each object. A
// nil row is an object that is gone.
type Batch struct {
	Services            map[ir.ObjectKey]*ir.Service
	Slices              map[ir.ObjectKey]*ir.EndpointSlice
	Pods                map[ir.ObjectKey]*ir.Pod
	Nodes               map[ir.NodeKey]*ir.Node
	Namespaces          map[string]*ir.Namespace
	Credentials         map[ir.ConfigKey]*ir.Credential
	Routes              map[ir.ConfigKey]*ir.Routes
	Policies            map[ir.ConfigKey]*ir.TrafficPolicy
	Gateways            map[ir.ConfigKey]*ir.Gateway
	Ingresses           map[ir.ConfigKey]*ir.Ingress
	IngressClasses      map[string]*ir.IngressClass
	ServiceEntries      map[ir.ConfigKey]*ir.ServiceEntry
	WorkloadEntries     map[ir.ConfigKey]*ir.Workload
	WorkloadHealths     map[ir.ConfigKey]*ir.WorkloadHealth // by WorkloadEntry
	WorkloadGroups      map[ir.ConfigKey]*ir.WorkloadGroup
	Allocated           map[ir.ConfigKey]*ir.Allocated
	Sidecars            map[ir.ConfigKey]*ir.Sidecar
	PeerAuthentications map[ir.ConfigKey]*ir.PeerAuthentication
	ProxyConfigs        map[ir.ConfigKey]*ir.ProxyConfig
	Statuses            map[ir.Origin]ConfigStatus

	RequestAuthentications map[ir.ConfigKey]*ir.RequestAuthentication
}

// ConfigStatus is what projection has to say of an object.
type ConfigStatus struct {
	// UID tells the object from an earlier one of its name.
	UID        string
	Generation int64
	Problems   []ir.Problem
	Deleted    bool
}
