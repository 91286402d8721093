// SPDX-License-Identifier: Apache-2.0

//go:build linux

package live

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/agent/capture"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// Spec is a pod to be.
type Spec struct {
	Namespace, Name string
	Labels          map[string]string
	Annotations     map[string]string
	Metadata        map[string]string // of ISTIO_META_ variables
	ServiceAccount  string            // "default" when empty
	Workload        string            // the pod's name when empty
	Proxy           node.Role         // node.Sidecar, node.Router, or "" for a pod outside the mesh
	NodeName        string            // of an applied Node
	IPv6            bool              // has an address of each family
	OnlyIPv6        bool              // has no address of IPv4
	Previous        bool              // its Envoy is of the minor version before

	Bootstrap func(*bootstrapv3.Bootstrap) // changes the proxy's; nil: it is the agent's
}

// Pod is a running pod.
type Pod struct {
	Spec
	Addresses []netip.Addr // IPv4 first, if it has both
	world     *World
	net       namespace
	unready   bool
	leaving   bool
}

// IP is the pod's first address.
func (p *Pod) IP() netip.Addr { return p.Addresses[0] }

// in is the pod's address of a family, not valid if it has none.
func (p *Pod) in(six bool) netip.Addr {
	for _, a := range p.Addresses {
		if a.Is6() == six {
			return a
		}
	}
	return netip.Addr{}
}

func (p *Pod) hasIPv6() bool { return p.in(true).IsValid() }

// At6 is the pod's IPv6 address with a port.
func (p *Pod) At6(port uint16) string { return netip.AddrPortFrom(p.in(true), port).String() }

// At is the pod's address with a port.
func (p *Pod) At(port uint16) string { return netip.AddrPortFrom(p.IP(), port).String() }

// Start runs a pod and returns when its proxy, if any, is ready.
func (w *World) Start(spec Spec) *Pod {
	w.t.Helper()
	spec.ServiceAccount = cmp.Or(spec.ServiceAccount, "default")
	spec.NodeName = cmp.Or(spec.NodeName, "n1")
	spec.Labels = maps.Clone(spec.Labels)
	if spec.Labels == nil {
		spec.Labels = map[string]string{}
	}
	if spec.Proxy == node.Sidecar {
		spec.Labels["security.istio.io/tlsMode"] = "istio" // as injection does
	}
	p := &Pod{Spec: spec, world: w, net: w.newNamespace()}
	w.mu.Lock()
	number := len(w.pods) + 1
	w.pods = append(w.pods, p)
	w.mu.Unlock()
	if !spec.OnlyIPv6 {
		p.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 244, byte(number >> 8), byte(number)})}
	}
	if spec.IPv6 || spec.OnlyIPv6 {
		p.Addresses = append(p.Addresses, netip.MustParseAddr(fmt.Sprintf("fd00:10:244::%x", number)))
	}
	w.must(w.connect(p.net, number, p.Addresses))
	if spec.Proxy == node.Sidecar {
		w.must(p.capture())
	}
	w.inbox.Put(func(b *intake.Batch) {
		b.Pods[p.key()] = scope.Pod(p.object())
		w.stageSlices(b)
	})
	if spec.Proxy != "" {
		p.startProxy(number)
	}
	return p
}

// Unready takes the pod out of the endpoints of its Services, or puts it back.
func (p *Pod) Unready(unready bool) {
	p.world.inbox.Put(func(b *intake.Batch) {
		p.unready = unready
		p.world.stageSlices(b)
	})
}

// Leave lets the pod end, while it still serves.
func (p *Pod) Leave() {
	p.world.inbox.Put(func(b *intake.Batch) {
		p.leaving = true
		p.world.stageSlices(b)
	})
}

// capture applies the rules that the agent applies in every pod with a sidecar.
func (p *Pod) capture() error {
	config := capture.Config{
		InboundCapturePort: 15006, OutboundCapturePort: 15001, ProxyUID: proxyUser, ProxyGID: proxyUser,
		AllInboundPorts: true, ExcludeInboundPorts: []uint16{15020, 15021}, AllOutbound: true,
	}
	return p.net.do(func() error {
		_, err := capture.Apply(context.Background(), config, capture.Options{IPv6: p.hasIPv6()})
		return err
	})
}

func (p *Pod) key() ir.ObjectKey {
	return ir.ObjectKey{Cluster: scope.Cluster, Namespace: p.Namespace, Name: p.Name}
}

func (p *Pod) object() *corev1.Pod {
	out := &corev1.Pod{}
	out.Namespace, out.Name, out.Labels, out.Annotations = p.Namespace, p.Name, p.Labels, p.Annotations
	out.Spec.ServiceAccountName, out.Spec.NodeName = p.ServiceAccount, p.NodeName
	out.Status.PodIP = p.IP().String()
	for _, a := range p.Addresses {
		out.Status.PodIPs = append(out.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	return out
}

// Dial connects from the pod as its application does: what it sends is captured
// when the pod has a sidecar.
func (p *Pod) Dial(address string) (net.Conn, error) {
	var conn net.Conn
	err := p.net.do(func() (err error) {
		dialer := net.Dialer{Timeout: Patience}
		conn, err = dialer.DialContext(context.Background(), "tcp", address)
		return err
	})
	return conn, err
}

// Listen is a socket of the pod's application.
func (p *Pod) Listen(address string) net.Listener {
	p.world.t.Helper()
	var l net.Listener
	p.world.must(p.net.do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	p.world.t.Cleanup(func() { _ = l.Close() })
	return l
}
