// SPDX-License-Identifier: Apache-2.0

// Package bootstrap builds the configuration that Envoy starts with: who it is, and how it reaches its two sources of
// configuration, the control plane (delta ADS) and the agent (SDS over a Unix socket). Everything else comes from them.
package bootstrap

import (
	"fmt"
	"net"
	"strconv"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshwright/meshwright/internal/ownport"
)

// The names that configuration from the control plane may refer to.
const (
	// DiscoveryCluster is the static cluster of the control plane.
	DiscoveryCluster = "xds-grpc"
	// SecretCluster is the static cluster of the agent's SDS server.
	SecretCluster = "sds-grpc"
	// OwnCluster is the static cluster of the pods that the proxy's own stands among; the control plane knows them.
	OwnCluster = "local_cluster"
	// WorkloadSecret is the SDS name of the workload's certificate and key.
	WorkloadSecret = "default"
	// RootSecret is the SDS name of the validation context that holds the mesh's roots.
	RootSecret = "ROOTCA"
)

// Config is what differs from proxy to proxy.
type Config struct {
	Node *corev3.Node
	// DiscoveryAddress is HOST:PORT of the control plane; its certificate must carry HOST.
	DiscoveryAddress string
	// PreferIPv6 resolves the control plane's name to IPv6 first, and no name to addresses of a family that the pod does not
	// have, for pods whose main address is of IPv6.
	PreferIPv6 bool
	// SecretSocket is the path of the agent's SDS socket.
	SecretSocket string
	// AdminAddress overrides port ownport.Admin of 127.0.0.1; tests use it to run side by side.
	AdminAddress string
	// MaxConnections bounds the downstream connections that Envoy accepts; further ones are refused at once.
	MaxConnections int64
	// Stats widens what Envoy keeps metrics of.
	Stats StatsInclusion
}

// Build makes the bootstrap configuration, checked against Envoy's own constraints.
func Build(c Config) (*bootstrapv3.Bootstrap, error) {
	host, port, err := splitAddress(c.DiscoveryAddress)
	if err != nil {
		return nil, fmt.Errorf("discovery address: %w", err)
	}
	if c.AdminAddress == "" {
		c.AdminAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(ownport.Admin))
	}
	adminHost, adminPort, err := splitAddress(c.AdminAddress)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w", err)
	}
	overload, err := overloadManager(c.MaxConnections)
	if err != nil {
		return nil, err
	}
	stats, err := statsConfig(c.Stats)
	if err != nil {
		return nil, err
	}
	b := &bootstrapv3.Bootstrap{
		Node: placed(c.Node),
		Admin: &bootstrapv3.Admin{
			Address: socketAddress(adminHost, adminPort),
			// A proxy that is full must still be readable and drainable.
			IgnoreGlobalConnLimit: true,
		},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Clusters: []*clusterv3.Cluster{discoveryCluster(host, port, c.PreferIPv6), secretCluster(c.SecretSocket), ownCluster()},
		},
		ClusterManager:   &bootstrapv3.ClusterManager{LocalClusterName: OwnCluster},
		DynamicResources: dynamicResources(),
		StatsConfig:      stats,
		OverloadManager:  overload,
		LayeredRuntime:   layeredRuntime(),
		// Metrics of a cluster's traffic are made at its first use: most clusters of a proxy are never called.
		DeferredStatOptions: &bootstrapv3.Bootstrap_DeferredStatOptions{EnableDeferredCreationStats: true},
	}
	if c.PreferIPv6 {
		b.TypedDnsResolverConfig = reachable()
	}
	if err := b.ValidateAll(); err != nil {
		return nil, fmt.Errorf("bootstrap is invalid: %w", err)
	}
	return b, nil
}

// placed gives the proxy a place. The control plane, which alone knows where it is, calls that place by no name, and so
// the proxy's own place must be there and have none. See ownCluster.
func placed(in *corev3.Node) *corev3.Node {
	if in.GetLocality() != nil {
		return in
	}
	out := proto.CloneOf(in)
	out.Locality = &corev3.Locality{}
	return out
}

// JSON renders the bootstrap in the file format of Envoy's -c option (a .json file).
func JSON(b *bootstrapv3.Bootstrap) ([]byte, error) {
	out, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode bootstrap: %w", err)
	}
	return out, nil
}

func splitAddress(address string) (string, uint32, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || host == "" {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", address)
	}
	return host, uint32(port), nil
}

// dynamicResources subscribes to listeners and clusters over the one ADS stream. There is no initial fetch timeout: a proxy
// without its configuration must not start to accept connections.
func dynamicResources() *bootstrapv3.Bootstrap_DynamicResources {
	ads := func() *corev3.ConfigSource {
		return &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
			ResourceApiVersion:    corev3.ApiVersion_V3,
			InitialFetchTimeout:   durationpb.New(0),
		}
	}
	return &bootstrapv3.Bootstrap_DynamicResources{
		LdsConfig: ads(),
		CdsConfig: ads(),
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices:              []*corev3.GrpcService{envoyGRPC(DiscoveryCluster)},
		},
	}
}

func envoyGRPC(cluster string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
		EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster},
	}}
}

// layeredRuntime keeps one static layer for limits that have no place in the configuration, and the admin layer, so that
// values can be tried out on a running proxy.
func layeredRuntime() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{
		{
			Name: "static",
			LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
				// Users' regular expressions may be long; the default of 100 refuses ordinary ones.
				"re2.max_program_size.error_level": structpb.NewNumberValue(32768),
			}}},
		},
		{Name: "admin", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}}},
	}}
}
