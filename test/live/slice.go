// SPDX-License-Identifier: Apache-2.0

//go:build linux

package live

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// sliceKeys is the slices of a Service by the family of their addresses, IPv4 first.
func sliceKeys(namespace, service string) [2]ir.ObjectKey {
	return [2]ir.ObjectKey{
		{Cluster: scope.Cluster, Namespace: namespace, Name: service + "-1"},
		{Cluster: scope.Cluster, Namespace: namespace, Name: service + "-6"},
	}
}

// stageSlices makes the EndpointSlices of all Services with a selector, as the
// cluster's controllers do.
func (w *World) stageSlices(b *intake.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.services {
		if len(s.Spec.Selector) > 0 {
			keys := sliceKeys(s.Namespace, s.Name)
			if len(s.Spec.IPFamilies) == 0 || slices.Contains(s.Spec.IPFamilies, corev1.IPv4Protocol) {
				b.Slices[keys[0]] = scope.EndpointSlice(w.slice(s, keys[0].Name, false))
			}
			if slices.Contains(s.Spec.IPFamilies, corev1.IPv6Protocol) {
				b.Slices[keys[1]] = scope.EndpointSlice(w.slice(s, keys[1].Name, true))
			}
		}
	}
}

func (w *World) slice(s *corev1.Service, name string, six bool) *discoveryv1.EndpointSlice {
	out := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
	if six {
		out.AddressType = discoveryv1.AddressTypeIPv6
	}
	out.Namespace, out.Name = s.Namespace, name
	out.Labels = map[string]string{discoveryv1.LabelServiceName: s.Name}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		number := p.TargetPort.IntVal
		if number == 0 {
			number = p.Port
		}
		out.Ports = append(out.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &number, AppProtocol: p.AppProtocol})
	}
	for _, p := range w.pods {
		if !p.in(six).IsValid() || p.Namespace != s.Namespace || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels)) {
			continue
		}
		ready, serving := !p.unready && !p.leaving, !p.unready
		out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.in(six).String()}, NodeName: &p.NodeName,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &p.leaving},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name},
		})
	}
	return out
}
