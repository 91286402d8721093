// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// EndpointSlice projects a discovery.k8s.io/v1 EndpointSlice. It is nil for one
// that belongs to no Service or holds names instead of addresses.
func (s Scope) EndpointSlice(in *discoveryv1.EndpointSlice) *ir.EndpointSlice {
	service := in.Labels[discoveryv1.LabelServiceName]
	if service == "" || in.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	out := &ir.EndpointSlice{
		Key:     s.key(&in.ObjectMeta),
		Service: ir.ObjectKey{Cluster: s.Cluster, Namespace: in.Namespace, Name: service},
	}
	for i := range in.Ports {
		if p, ok := slicePort(&in.Ports[i]); ok {
			out.Ports = append(out.Ports, p)
		}
	}
	slices.SortFunc(out.Ports, func(a, b ir.SlicePort) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port))
	})
	out.Endpoints = make([]ir.SliceEndpoint, 0, len(in.Endpoints))
	for i := range in.Endpoints {
		if e, ok := sliceEndpoint(&in.Endpoints[i]); ok {
			out.Endpoints = append(out.Endpoints, e)
		}
	}
	slices.SortFunc(out.Endpoints, func(a, b ir.SliceEndpoint) int {
		return cmp.Or(a.Addr.Compare(b.Addr), strings.Compare(a.Pod, b.Pod))
	})
	return out
}

func slicePort(in *discoveryv1.EndpointPort) (ir.SlicePort, bool) {
	if in.Port == nil || (in.Protocol != nil && *in.Protocol != corev1.ProtocolTCP) {
		return ir.SlicePort{}, false
	}
	number, ok := portNumber(int64(*in.Port))
	if !ok {
		return ir.SlicePort{}, false
	}
	out := ir.SlicePort{Port: number}
	if in.Name != nil {
		out.Name = *in.Name
	}
	return out, true
}

// sliceEndpoint takes the first address only: the API says that consumers must not
// use the others. An endpoint that terminates and does not serve any more is gone.
func sliceEndpoint(in *discoveryv1.Endpoint) (ir.SliceEndpoint, bool) {
	if len(in.Addresses) == 0 {
		return ir.SliceEndpoint{}, false
	}
	addr, err := netip.ParseAddr(in.Addresses[0])
	if err != nil {
		return ir.SliceEndpoint{}, false
	}
	out := ir.SliceEndpoint{
		Addr:        addr.Unmap(),
		Ready:       in.Conditions.Ready == nil || *in.Conditions.Ready,
		Terminating: in.Conditions.Terminating != nil && *in.Conditions.Terminating,
	}
	if in.Conditions.Serving != nil && !*in.Conditions.Serving && out.Terminating {
		return ir.SliceEndpoint{}, false
	}
	if in.TargetRef != nil && in.TargetRef.Kind == "Pod" {
		out.Pod = in.TargetRef.Name
	}
	if in.NodeName != nil {
		out.Node = *in.NodeName
	}
	return out, true
}
