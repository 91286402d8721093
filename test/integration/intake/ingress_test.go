// SPDX-License-Identifier: Apache-2.0

//go:build integration

package intake_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/status"
)

// writesIngresses reads an Ingress and its class and writes where it is found, which
// must not come back as a change, and takes that back.
func writesIngresses(t *testing.T) {
	clients := kubernetes.NewForConfigOrDie(server.Config)
	c := start(t, server.Config)
	synced(t, c)
	c.Drain()
	class := &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh"}, Spec: networkingv1.IngressClassSpec{Controller: "istio.io/ingress-controller"},
	}
	if _, err := clients.NetworkingV1().IngressClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: networkingv1.IngressSpec{
		IngressClassName: &class.Name,
		DefaultBackend: &networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Name: "http"}},
		},
	}}
	if _, err := clients.NetworkingV1().Ingresses("default").Create(t.Context(), in, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	all := c.Drain()
	await(t, c, "the Ingress and its class", func(b intake.Batch) bool {
		for k, r := range b.Ingresses {
			all.Ingresses[k] = r
		}
		for k, r := range b.IngressClasses {
			all.IngressClasses[k] = r
		}
		row := all.Ingresses[ir.ConfigKey{Namespace: "default", Name: "web"}]
		return row != nil && row.Class == "mesh" && row.Default != nil && all.IngressClasses["mesh"] != nil && all.IngressClasses["mesh"].Ours
	})

	a := status.New(status.Options{Writer: status.NewWriter(dynamic.NewForConfigOrDie(server.Config)), Current: status.FromStatus(c.Status)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Start(ctx) }()
	defer func() { cancel(); <-done }()
	origin := ir.Origin{Kind: "Ingress", Namespace: "default", Name: "web"}
	a.Projected(map[ir.Origin]intake.ConfigStatus{origin: {Generation: 1}})
	found := func(want ...networkingv1.IngressLoadBalancerIngress) bool {
		got, err := clients.NetworkingV1().Ingresses("default").Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return slices.EqualFunc(got.Status.LoadBalancer.Ingress, want, func(a, b networkingv1.IngressLoadBalancerIngress) bool {
			return a.IP == b.IP && a.Hostname == b.Hostname
		})
	}
	say := func(got *ir.Allocated) {
		a.Allocated(map[ir.Origin]*ir.Allocated{origin: got})
		a.Problems(nil)
	}
	say(&ir.Allocated{Addresses: []ir.HostAddress{{Addr: netip.MustParseAddr("192.0.2.1")}, {Host: "lb.example.net"}}})
	eventually(t, "the addresses", func() bool {
		return found(networkingv1.IngressLoadBalancerIngress{IP: "192.0.2.1"}, networkingv1.IngressLoadBalancerIngress{Hostname: "lb.example.net"})
	})
	eventually(t, "the status through intake", func() bool { return len(status.Parse(c.Status(origin)).Addresses) == 2 })
	if b := c.Drain(); len(b.Ingresses)+len(b.Statuses) != 0 {
		t.Errorf("our own status came back as a change: %+v", b)
	}
	say(nil)
	eventually(t, "no addresses", func() bool { return found() })
}
