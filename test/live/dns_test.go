// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/meshwright/meshwright/internal/agent/capture"
	"github.com/meshwright/meshwright/internal/agent/discovery"
	"github.com/meshwright/meshwright/internal/agent/identity"
	"github.com/meshwright/meshwright/internal/agent/nameserver"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ca"
)

// clusterDNS is the name server of every pod. Nobody is there: what reaches it gets no answer.
const (
	clusterDNS  = "10.96.0.10"
	clusterDNS6 = "fd00:96::a"
)

// secure serves the mesh with TLS as the control plane does, for agents; Envoys of this package go without.
func (w *World) secure() string {
	w.t.Helper()
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(ca.NewServing(w.authority, "localhost").MutualTLS())))
	w.mesh.Hub().Register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	go func() { _ = server.Serve(listener) }()
	w.t.Cleanup(server.Stop)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	w.must(err)
	return net.JoinHostPort("localhost", port)
}

// captureDNS gives a pod what its agent does with DNS capture. What the mesh does not know is asked of upstream.
func (p *Pod) captureDNS(discoveryAddress string, upstream netip.AddrPort) {
	w := p.world
	w.t.Helper()
	const port = 15053
	config := capture.Config{
		InboundCapturePort: 15006, OutboundCapturePort: 15001, ProxyUID: proxyUser, ProxyGID: proxyUser,
		AllInboundPorts: true, ExcludeInboundPorts: []uint16{15020, 15021}, AllOutbound: true,
		DNSCapturePort: port, DNSServers: []netip.Addr{netip.MustParseAddr(clusterDNS), netip.MustParseAddr(clusterDNS6)},
	}
	addresses := []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	if p.hasIPv6() {
		addresses = append(addresses, netip.AddrPortFrom(netip.IPv6Loopback(), port))
	}
	table, metrics := nameserver.NewTable(), nameserver.NewMetrics(prometheus.NewRegistry())
	table.Reach(p.Addresses)
	var server *nameserver.Server
	w.must(p.net.do(func() (err error) {
		if _, err = capture.Apply(context.Background(), config, capture.Options{IPv6: p.hasIPv6()}); err != nil {
			return err
		}
		server, err = nameserver.Listen(nameserver.Options{
			Addresses: addresses, Table: table,
			Search:   []string{p.Namespace + ".svc." + clusterDomain, "svc." + clusterDomain, clusterDomain},
			Upstream: nameserver.NewUpstream([]netip.AddrPort{upstream}, metrics), Metrics: metrics, Log: logr.Discard(),
		})
		return err
	}))
	message, err := node.Pod{
		Role: node.Sidecar, Name: p.Name, Namespace: p.Namespace, IPs: p.Addresses, ServiceAccount: p.ServiceAccount,
		ClusterID: scope.Cluster, ClusterDomain: clusterDomain, WorkloadName: p.Name, Labels: p.Labels,
	}.Message()
	w.must(err)
	own := w.Identity(p.Namespace, p.ServiceAccount)
	material := &identity.Material{Key: own.Key, Chain: own.Certificate, Roots: w.authority.Bundle().RootPEM()}
	client := discovery.NewClient(discovery.Options{
		Address: discoveryAddress, Node: message, Identity: func() *identity.Material { return material },
		Type: nameserver.ResourceType, Connected: metrics.Connected, Log: logr.Discard(),
		Apply: func(set []*discoveryv3.Resource, removed []string) error {
			_, err := table.Apply(set, removed)
			return err
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { _ = server.Serve(ctx); done <- struct{}{} }()
	go func() { client.Run(ctx); done <- struct{}{} }()
	w.t.Cleanup(func() { stop(); <-done; <-done })
}

// Resolve asks the pod's name server as the application does, and returns the code and the first IPv4 address.
func (p *Pod) Resolve(network, name string) (string, error) {
	return p.lookup(network, clusterDNS, name, dns.TypeA)
}

// lookup asks a name server of the pod for addresses of a family.
func (p *Pod) lookup(network, server, name string, kind uint16) (string, error) {
	var conn net.Conn
	if err := p.net.do(func() (err error) {
		conn, err = net.DialTimeout(network, net.JoinHostPort(server, "53"), Patience)
		return err
	}); err != nil {
		return "", err
	}
	defer conn.Close()
	client := &dns.Client{Net: network, Timeout: Patience}
	answer, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), &dns.Conn{Conn: conn})
	if err != nil {
		return "", err
	}
	out := dns.RcodeToString[answer.Rcode]
	for _, rr := range answer.Answer {
		switch a := rr.(type) {
		case *dns.A:
			return out + " " + a.A.String(), nil
		case *dns.AAAA:
			return out + " " + a.AAAA.String(), nil
		}
	}
	return out, nil
}

// TestDNS resolves names as an application with DNS capture does, and calls what they lead to.
func TestDNS(t *testing.T) {
	w := New(t)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	w.must(err)
	elsewhere := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		_ = rw.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
	})}
	go func() { _ = elsewhere.ActivateAndServe() }()
	t.Cleanup(func() { _ = elsewhere.Shutdown() })

	w.Apply(shop)
	cart := w.Start(Spec{Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar})
	cart.ServeEcho(8080)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	page.captureDNS(w.secure(), netip.MustParseAddrPort(packets.LocalAddr().String()))

	expect := func(network, name, want string) {
		t.Helper()
		w.Eventually(network+" "+name, func() error {
			if got, err := page.Resolve(network, name); err != nil || got != want {
				return fmt.Errorf("got %q, %v; want %q", got, err, want)
			}
			return nil
		})
	}
	expect("udp", "cart.shop.svc.cluster.local", "NOERROR 10.96.0.1")
	expect("tcp", "cart.shop.svc.cluster.local", "NOERROR 10.96.0.1")
	expect("udp", "late.shop.svc.cluster.local", "NXDOMAIN")
	page.Expect(Call{To: "10.96.0.1:80", URL: "http://cart.shop/hello"}, "200 cart-1")

	w.Apply(`{apiVersion: v1, kind: Service, metadata: {name: late, namespace: shop}, spec: {clusterIP: 10.96.0.2, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}}`)
	expect("udp", "late.shop.svc.cluster.local", "NOERROR 10.96.0.2")
	w.Delete("Service", "shop", "late")
	expect("udp", "late.shop.svc.cluster.local", "NXDOMAIN")
}
