// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	statslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/go-logr/logr/testr"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/internal/agent/bootstrap"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/test/port"
)

// rig is one agent with its Envoy, control plane and application.
type rig struct {
	t      *testing.T
	plane  *plane
	config Config
	app    *httptest.Server
	plain  string // HTTP listener of Envoy
	secure string // the same over mutual TLS
	cancel context.CancelFunc
	result chan error
}

func newRig(t *testing.T, role node.Role, ttl time.Duration) *rig {
	t.Helper()
	path, err := envoy.Path("")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, plain: port.Address(t), secure: port.Address(t), result: make(chan error, 1)}
	r.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/slow":
			time.Sleep(1500 * time.Millisecond)
		case "/metrics":
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "app_things_total 7\n")
			return
		}
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(r.app.Close)
	direction := corev3.TrafficDirection_INBOUND
	if role == node.Router {
		direction = corev3.TrafficDirection_OUTBOUND
	}
	r.plane = startPlane(t, ttl,
		[]types.Resource{httpListener(t, "plain", r.plain, direction, nil), httpListener(t, "secure", r.secure, direction, meshTLS(t))},
		[]types.Resource{staticCluster(t, "app", r.app.Listener.Addr().String())})
	dir := t.TempDir()
	r.config = Config{
		Pod: node.Pod{
			Role: role, Name: "reviews-1", Namespace: "shop", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
			ServiceAccount: "reviews", ClusterID: "Kubernetes", ClusterDomain: "cluster.local", WorkloadName: "reviews",
			Labels: map[string]string{"app": "reviews"},
		},
		DiscoveryAddress: r.plane.address, TrustDomain: "cluster.local", DrainLimit: 10 * time.Second, DrainMinimum: time.Second,
		Concurrency: 1, LogLevel: "warning", CertificateTTL: time.Hour, EnvoyPath: path, AdminAddress: port.Address(t),
		StatusAddress: port.Address(t), ReadinessAddress: port.Address(t), TokenFile: filepath.Join(dir, "token"),
		RootFile: filepath.Join(dir, "root.pem"), StateDir: filepath.Join(dir, "state"),
		AppMetrics: r.app.URL + "/metrics", PrestopToken: "prestop-token-of-this-test",
	}
	r.write(r.config.RootFile, r.plane.rootPEM())
	return r
}

func (r *rig) write(path string, text []byte) {
	r.t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start runs the agent. The test waits for its end.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	log := testr.New(r.t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.result <- Run(ctx, r.config, log)
	}()
	r.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func (r *rig) startReady() {
	r.t.Helper()
	r.write(r.config.TokenFile, []byte(goodToken))
	r.start()
	r.eventually(30*time.Second, "readiness", func() error { return r.ready() })
}

func (r *rig) ready() error {
	code, body, err := get(http.DefaultClient, "http://"+r.config.ReadinessAddress+"/healthz/ready")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d %s", code, strings.TrimSpace(body))
	}
	return err
}

func (r *rig) eventually(limit time.Duration, what string, check func() error) {
	r.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: still not after %s: %v", what, limit, err)
		}
		select {
		case early := <-r.result:
			r.t.Fatalf("%s: the agent ended: %v", what, early)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ended waits for the agent's end and gives its result.
func (r *rig) ended(limit time.Duration) error {
	r.t.Helper()
	select {
	case err := <-r.result:
		r.result <- err
		return err
	case <-time.After(limit):
		r.t.Fatalf("the agent did not end within %s", limit)
		return nil
	}
}

func get(client *http.Client, address string) (int, string, error) {
	resp, err := client.Get(address)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	out, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tcpAddress(t *testing.T, address string) *corev3.Address {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(number)},
	}}}
}

func staticCluster(t *testing.T, name, address string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
				Endpoint: &endpointv3.Endpoint{Address: tcpAddress(t, address)},
			}}},
		}}},
	}
}

// meshTLS asks clients for a certificate of the mesh and shows the workload's own, both from the agent.
func meshTLS(t *testing.T) *corev3.TransportSocket {
	source := &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: bootstrap.SecretCluster},
			}}},
		}},
	}
	return &corev3.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{
		TypedConfig: packed(t, &tlsv3.DownstreamTlsContext{
			RequireClientCertificate: wrapperspb.Bool(true),
			CommonTlsContext: &tlsv3.CommonTlsContext{
				TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: bootstrap.WorkloadSecret, SdsConfig: source}},
				ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
					ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: bootstrap.RootSecret, SdsConfig: source},
				},
			},
		}),
	}}
}

func httpListener(t *testing.T, name, address string, direction corev3.TrafficDirection, socket *corev3.TransportSocket) *listenerv3.Listener {
	counter := &statslogv3.Config{StatPrefix: "istio", Counters: []*statslogv3.Config_Counter{{
		Stat:       &statslogv3.Config_Stat{Name: "requests_total", Tags: []*statslogv3.Config_Tag{{Name: "response_code", ValueFormat: "%RESPONSE_CODE%"}}},
		ValueFixed: wrapperspb.UInt64(1),
	}}}
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix: name,
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "app"},
				}},
			}}}},
		}},
		AccessLog: []*accesslogv3.AccessLog{{
			Name: "stats", ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(t, counter)},
		}},
		HttpFilters: []*hcmv3.HttpFilter{{
			Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})},
		}},
	}
	return &listenerv3.Listener{
		Name: name, Address: tcpAddress(t, address), TrafficDirection: direction,
		FilterChains: []*listenerv3.FilterChain{{
			TransportSocket: socket,
			Filters: []*listenerv3.Filter{{
				Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, manager)},
			}},
		}},
	}
}
