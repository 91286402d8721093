// SPDX-License-Identifier: Apache-2.0

//go:build linux

package live

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	"github.com/go-logr/logr"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshwright/meshwright/internal/agent/bootstrap"
	"github.com/meshwright/meshwright/internal/agent/identity"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/agent/secret"
	"github.com/meshwright/meshwright/internal/ca"
	"github.com/meshwright/meshwright/internal/envoy/typed"
)

// proxyUser is who Envoy runs as: the packet rules leave alone what he sends.
const proxyUser = 1337

// startProxy runs the pod's Envoy and waits until it has its configuration.
func (p *Pod) startProxy(number int) {
	w := p.world
	w.t.Helper()
	dir := filepath.Join(w.dir, fmt.Sprint(number))
	w.must(os.Mkdir(dir, 0o755))
	p.serveSecrets(filepath.Join(dir, "sds"))
	config := filepath.Join(dir, "envoy.json")
	w.must(os.WriteFile(config, p.bootstrap(filepath.Join(dir, "sds")), 0o644))
	p.run(config, filepath.Join(dir, "log"))
	w.Eventually("envoy of "+p.Name+" is ready", func() error {
		if answer := p.Admin("/ready"); !strings.HasPrefix(answer, "LIVE") {
			return fmt.Errorf("it says %q", answer)
		}
		return nil
	})
}

// bootstrap is the agent's, but that discovery comes over a Unix socket in
// plaintext: pods have no way to the test's own network.
func (p *Pod) bootstrap(secrets string) []byte {
	w := p.world
	message, err := p.message(p.Name)
	w.must(err)
	b, err := bootstrap.Build(bootstrap.Config{
		Node: message, DiscoveryAddress: "discovery:15012", SecretSocket: secrets, MaxConnections: 10_000,
		PreferIPv6: p.IP().Is6(),
	})
	w.must(err)
	w.overSocket(b)
	p.useResolver(b)
	if p.Spec.Bootstrap != nil {
		p.Spec.Bootstrap(b)
	}
	text, err := bootstrap.JSON(b)
	w.must(err)
	return text
}

// useResolver makes the pod its own name server, which knows no name but those of
// World.Name: it has no way to another, and a proxy waits for its names before it is ready. One that refuses would
// not do: Envoy 1.40 can crash when a cluster is replaced while c-ares gives up on it.
func (p *Pod) useResolver(b *bootstrapv3.Bootstrap) {
	w := p.world
	var packets net.PacketConn
	w.must(p.net.do(func() (err error) {
		packets, err = net.ListenPacket("udp", "127.0.0.1:53")
		return err
	}))
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(to dns.ResponseWriter, question *dns.Msg) {
		_ = to.WriteMsg(w.answer(question))
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe()
	}()
	w.t.Cleanup(func() {
		_ = packets.Close()
		<-ended
	})
	resolver := &caresv3.CaresDnsResolverConfig{}
	if own := b.GetTypedDnsResolverConfig(); own != nil {
		w.must(own.TypedConfig.UnmarshalTo(resolver))
	}
	resolver.Resolvers = []*corev3.Address{typed.Address("127.0.0.1", 53)}
	config, err := anypb.New(resolver)
	w.must(err)
	b.TypedDnsResolverConfig = &corev3.TypedExtensionConfig{Name: "envoy.network.dns_resolver.cares", TypedConfig: config}
}

// Name has the name servers of all pods know a name, by addresses of each family.
func (w *World) Name(name string, addrs ...netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[dns.Fqdn(name)] = addrs
}

func (w *World) answer(question *dns.Msg) *dns.Msg {
	asked := question.Question[0]
	w.mu.Lock()
	addrs := w.names[asked.Name]
	w.mu.Unlock()
	if len(addrs) == 0 {
		return new(dns.Msg).SetRcode(question, dns.RcodeNameError)
	}
	out := new(dns.Msg).SetReply(question)
	header := dns.RR_Header{Name: asked.Name, Rrtype: asked.Qtype, Class: dns.ClassINET, Ttl: 30}
	for _, addr := range addrs {
		switch {
		case asked.Qtype == dns.TypeA && addr.Is4():
			out.Answer = append(out.Answer, &dns.A{Hdr: header, A: addr.AsSlice()})
		case asked.Qtype == dns.TypeAAAA && addr.Is6():
			out.Answer = append(out.Answer, &dns.AAAA{Hdr: header, AAAA: addr.AsSlice()})
		}
	}
	return out
}

// message is the proxy as it tells the control plane of itself, under a name.
func (p *Pod) message(name string) (*corev3.Node, error) {
	return node.Pod{
		Role: p.Proxy, Name: name, Namespace: p.Namespace, IPs: p.Addresses, ServiceAccount: p.ServiceAccount, WorkloadName: p.Workload,
		NodeName: p.NodeName, ClusterID: scope.Cluster, ClusterDomain: clusterDomain, Labels: p.Labels, Annotations: p.Annotations, Metadata: p.Metadata,
	}.Message()
}

func (w *World) overSocket(b *bootstrapv3.Bootstrap) {
	for _, c := range b.StaticResources.Clusters {
		if c.Name != bootstrap.DiscoveryCluster {
			continue
		}
		c.TransportSocket = nil
		c.UpstreamConnectionOptions = nil
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
			ClusterName: c.Name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
					Address: &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: w.discovery()}}},
				}},
			}}}},
		}
	}
}

// serveSecrets gives the proxy a certificate of the mesh, as the agent does.
func (p *Pod) serveSecrets(socket string) {
	w := p.world
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	w.must(err)
	answer, err := w.authority.Sign(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
		ca.Identity{TrustDomain: trustDomain, Namespace: p.Namespace, ServiceAccount: p.ServiceAccount}, 0)
	w.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	w.must(err)
	roots := answer[len(answer)-1]
	server := secret.NewServer(logr.Discard())
	w.must(server.Publish(&identity.Material{
		Key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		Chain: []byte(strings.Join(answer[:len(answer)-1], "")), Roots: []byte(roots),
	}))
	listener, err := secret.Listen(socket)
	w.must(err)
	w.must(os.Chown(socket, proxyUser, proxyUser))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ctx, listener)
	}()
	w.t.Cleanup(func() {
		stop()
		<-ended
	})
}

// run keeps Envoy until the test ends; its log is shown when the test failed.
func (p *Pod) run(config, log string) {
	w := p.world
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	w.must(err)
	cmd := exec.Command(w.binary(p.Previous), "-c", config, "-l", "warning", "--use-dynamic-base-id", "--concurrency", "1", "--drain-time-s", fmt.Sprintf("%.0f", w.Drain.Seconds()))
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: proxyUser, Gid: proxyUser},
		Pdeathsig:  syscall.SIGKILL, // it must not outlive a test that was killed
	}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the signal above comes when this thread ends
		if err := unix.Setns(int(p.net.file.Fd()), unix.CLONE_NEWNET); err != nil {
			started <- err
			return
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	w.must(<-started)
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		output.Close()
		if w.t.Failed() {
			text, _ := os.ReadFile(log)
			w.t.Logf("envoy of %s said:\n%s", p.Name, text)
		}
	})
}

// Admin asks the proxy's admin interface; the answer may be an error's text.
func (p *Pod) Admin(path string) string {
	client := &http.Client{Timeout: Patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return p.Dial("127.0.0.1:15000")
		},
	}}
	resp, err := client.Get("http://admin" + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// Stat is one counter or gauge of the proxy, 0 when it has none of that name.
func (p *Pod) Stat(name string) int {
	for line := range strings.SplitSeq(p.Admin("/stats?filter=^"+name+"$"), "\n") {
		if _, text, ok := strings.Cut(line, ": "); ok {
			var n int
			if _, err := fmt.Sscan(text, &n); err == nil {
				return n
			}
		}
	}
	return 0
}
