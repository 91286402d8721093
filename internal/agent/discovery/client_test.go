// SPDX-License-Identifier: Apache-2.0

package discovery_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr/testr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/meshwright/meshwright/internal/agent/discovery"
	"github.com/meshwright/meshwright/internal/agent/identity"
	"github.com/meshwright/meshwright/internal/xds"
)

const (
	typ      = "type.googleapis.com/test.Name"
	patience = 20 * time.Second
)

// authority signs the certificates of a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) rootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// material is a certificate of a workload, or of a server when it has a name.
func (a *authority) material(uri, name string) *identity.Material {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		parsed, err := url.Parse(uri)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = []*url.URL{parsed}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &identity.Material{
		Key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
		Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Roots: a.rootPEM(),
	}
}

// plane is a hub behind a gRPC server with mutual TLS.
type plane struct {
	hub    *xds.Hub
	server *grpc.Server
	events *events
}

type events struct {
	mu   sync.Mutex
	said []string
}

func (e *events) add(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, text)
}

func (e *events) take() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.said, ",")
}

func (e *events) ClassWanted(class string, _ *corev3.Node) { e.add("wanted " + class) }
func (e *events) ClassIdle(class string)                   { e.add("idle " + class) }
func (e *events) Rejected(n xds.NACK)                      { e.add("rejected " + n.Name + ": " + n.Message) }

func startPlane(t *testing.T, a *authority, address string) (*plane, string) {
	t.Helper()
	p := &plane{events: &events{}}
	var err error
	p.hub, err = xds.NewHub(xds.Options{Events: p.events, Classify: func(n *corev3.Node, peer xds.Peer) (string, error) {
		info, ok := peer.Auth.(credentials.TLSInfo)
		if !ok || len(info.State.VerifiedChains) == 0 {
			return "", errors.New("no certificate")
		}
		return n.GetCluster() + " of " + info.State.PeerCertificates[0].URIs[0].Path, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := a.material("", "localhost")
	own, err := tls.X509KeyPair(m.Chain, m.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	p.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, Certificates: []tls.Certificate{own},
	})))
	p.hub.Register(p.server)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.server.Serve(listener) }()
	t.Cleanup(p.stop)
	return p, listener.Addr().String()
}

func (p *plane) stop() {
	p.hub.Close()
	p.server.Stop()
}

const layer xds.Layer = "all"

func (p *plane) publish(set map[string]string, removed ...string) {
	batch := xds.Batch{Classes: []xds.Class{{Key: "pod of /ns/shop/sa/reviews", Layers: []xds.Layer{layer}}}}
	for name, version := range set {
		batch.Set = append(batch.Set, xds.Placement{Layer: layer, Resource: &xds.Resource{Type: typ, Name: name, Version: version, Body: []byte(version)}})
	}
	for _, name := range removed {
		batch.Delete = append(batch.Delete, xds.Removal{Layer: layer, Type: typ, Name: name})
	}
	p.hub.Publish(batch)
}

// pupil notes what a client takes in. It refuses the version "bad".
type pupil struct {
	mu        sync.Mutex
	known     map[string]string
	responses int
	connected bool
}

func (p *pupil) apply(set []*discoveryv3.Resource, removed []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range set {
		if string(r.GetResource().GetValue()) == "bad" {
			return fmt.Errorf("%s cannot be read", r.GetName())
		}
	}
	p.responses += len(set) + len(removed)
	for _, name := range removed {
		delete(p.known, name)
	}
	for _, r := range set {
		p.known[r.GetName()] = string(r.GetResource().GetValue())
	}
	return nil
}

func (p *pupil) state() (known string, responses int, connected bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(p.known)) {
		out = append(out, name+"="+p.known[name])
	}
	return strings.Join(out, " "), p.responses, p.connected
}

func (p *pupil) eventually(t *testing.T, want string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, _, _ := p.state()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want %q", got, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *pupil) run(t *testing.T, address string, material *identity.Material) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	client := discovery.NewClient(discovery.Options{
		Address: net.JoinHostPort("localhost", port), Node: &corev3.Node{Id: "pod-1", Cluster: "pod"}, Type: typ,
		Identity: func() *identity.Material { return material }, Apply: p.apply, Log: testr.New(t),
		Connected: func(is bool) { p.mu.Lock(); p.connected = is; p.mu.Unlock() },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); client.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestNamesFollowTheControlPlane(t *testing.T) {
	a := newAuthority(t)
	first, address := startPlane(t, a, "127.0.0.1:0")
	first.publish(map[string]string{"a": "1", "b": "1"})
	p := &pupil{known: map[string]string{}}
	p.run(t, address, a.material("spiffe://cluster.local/ns/shop/sa/reviews", ""))
	p.eventually(t, "a=1 b=1")
	first.publish(map[string]string{"a": "2"}, "b")
	p.eventually(t, "a=2")

	// One that cannot be read is refused by name, and does not keep the others away.
	first.publish(map[string]string{"c": "1", "d": "bad", "e": "1"})
	p.eventually(t, "a=2 c=1 e=1")
	if got := first.events.take(); !strings.Contains(got, "rejected d: d cannot be read") {
		t.Errorf("the control plane heard %q", got)
	}

	// While the control plane is away all stays, and another replica sends what differs.
	_, before, _ := p.state()
	first.stop()
	second, _ := startPlane(t, a, address)
	known, _, _ := p.state()
	if known != "a=2 c=1 e=1" {
		t.Errorf("without a control plane: %q", known)
	}
	second.publish(map[string]string{"a": "2", "c": "2"})
	p.eventually(t, "a=2 c=2")
	if _, after, connected := p.state(); after-before != 2 || !connected {
		t.Errorf("%d resources were sent after the reconnect, want one new version and one removal; connected %t", after-before, connected)
	}
}

// Two streams of one pod, Envoy's and the agent's, are one class: it is wanted once and idle when both have gone.
func TestSecondStreamOfAPod(t *testing.T) {
	a := newAuthority(t)
	plane, address := startPlane(t, a, "127.0.0.1:0")
	plane.publish(map[string]string{"a": "1"})
	one, two := &pupil{known: map[string]string{}}, &pupil{known: map[string]string{}}
	one.run(t, address, a.material("spiffe://cluster.local/ns/shop/sa/reviews", ""))
	one.eventually(t, "a=1")
	t.Run("second", func(t *testing.T) {
		two.run(t, address, a.material("spiffe://cluster.local/ns/shop/sa/reviews", ""))
		two.eventually(t, "a=1")
	})
	plane.publish(map[string]string{"a": "2"})
	one.eventually(t, "a=2")
	if got := plane.events.take(); got != "wanted pod of /ns/shop/sa/reviews" {
		t.Errorf("the control plane heard %q", got)
	}
}

func TestStrangersAreNotBelieved(t *testing.T) {
	a := newAuthority(t)
	plane, address := startPlane(t, a, "127.0.0.1:0")
	plane.publish(map[string]string{"a": "1"})
	material := a.material("spiffe://cluster.local/ns/shop/sa/reviews", "")
	material.Roots = newAuthority(t).rootPEM()
	p := &pupil{known: map[string]string{}}
	p.run(t, address, material)
	honest := &pupil{known: map[string]string{}}
	honest.run(t, address, a.material("spiffe://cluster.local/ns/shop/sa/reviews", ""))
	honest.eventually(t, "a=1")
	if known, _, connected := p.state(); known != "" || connected {
		t.Errorf("took %q from a server of another mesh", known)
	}
}
