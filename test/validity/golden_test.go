//go:build integration

// SPDX-License-Identifier: Apache-2.0

package validity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/data/dns/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/test/golden"
)

// TestEnvoyLoadsGoldens has Envoy check every golden message of the builders. The
// clusters go into one configuration and the routes into another; each listener
// has its own, because they share addresses.
func TestEnvoyLoadsGoldens(t *testing.T) {
	files, err := filepath.Glob("../../internal/envoy/*/testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files (%v)", err)
	}
	certificates := t.TempDir() // files that goldens name
	writePair(t, certificates)
	clusters, routes := bootstrap(), map[string]*routev3.RouteConfiguration{}
	for _, file := range files {
		m, err := golden.Read(file, "/etc/certs", certificates)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := strings.NewReplacer("/", "-", ".yaml", "").Replace(strings.TrimPrefix(file, "../../internal/envoy/"))
		switch m := m.(type) {
		case *clusterv3.Cluster:
			m.Name = name
			if m.LoadAssignment != nil {
				m.LoadAssignment.ClusterName = name
			}
			clusters.StaticResources.Clusters = append(clusters.StaticResources.Clusters, m)
		case *endpointv3.ClusterLoadAssignment:
			m.ClusterName = name
			clusters.StaticResources.Clusters = append(clusters.StaticResources.Clusters, &clusterv3.Cluster{
				Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, LoadAssignment: m,
			})
		case *routev3.RouteConfiguration:
			routes[name] = m
		case *routev3.VirtualHost:
			routes[name] = &routev3.RouteConfiguration{
				Name: name, ValidateClusters: wrapperspb.Bool(false), VirtualHosts: []*routev3.VirtualHost{m},
			}
		case *listenerv3.Listener:
			b := bootstrap()
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, m)
			t.Run(name, func(t *testing.T) { validate(t, b) })
		case *corev3.TypedExtensionConfig:
			b := bootstrap()
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, with(m))
			t.Run(name, func(t *testing.T) { validate(t, b) })
		case *dnsv3.DnsTable_DnsVirtualDomain:
			// Agents read it.
		case *tlsv3.Secret:
			// Its content is the user's and is checked when it is read.
		default:
			t.Errorf("%s: nothing is known of %T", file, m)
		}
	}
	t.Run("clusters", func(t *testing.T) { validate(t, clusters) })
	b := bootstrap()
	b.StaticResources.Listeners = inlined(t, routes, nil)
	t.Run("routes", func(t *testing.T) { validate(t, b) })
	t.Run("a bad one is refused", func(t *testing.T) { refuse(t, routes) })
}

// with is a listener with an HTTP filter.
func with(m *corev3.TypedExtensionConfig) *listenerv3.Listener {
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix:     "check",
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{Name: "check"}},
		HttpFilters: []*hcmv3.HttpFilter{
			{Name: m.Name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: m.TypedConfig}},
			{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed.Config(&routerv3.Router{})}},
		},
	}
	return &listenerv3.Listener{
		Name: "check", Address: typed.Address("127.0.0.1", 20000),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: typed.Config(manager)},
		}}}},
	}
}

// refuse makes sure that the check can fail.
func refuse(t *testing.T, routes map[string]*routev3.RouteConfiguration) {
	t.Helper()
	for name, rc := range routes {
		bad := proto.Clone(rc).(*routev3.RouteConfiguration)
		bad.VirtualHosts = append(bad.VirtualHosts, &routev3.VirtualHost{Name: "a", Domains: []string{"twice", "twice"}})
		b := bootstrap()
		b.StaticResources.Listeners = inlined(t, map[string]*routev3.RouteConfiguration{name: bad}, nil)
		if text, err := load(t, envoy.Current, b); err == nil {
			t.Errorf("Envoy accepts a domain twice:\n%s", text)
		}
		return
	}
}

// writePair makes root.pem, list.pem, cert.pem and key.pem: Envoy reads files when it loads a cluster.
func writePair(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), SubjectKeyId: []byte{1},
		KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader,
		&x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, template, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"list.pem": {Type: "X509 CRL", Bytes: list},
		"root.pem": {Type: "CERTIFICATE", Bytes: der}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
