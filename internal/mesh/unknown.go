// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"net/netip"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/envoy/cluster"
	"github.com/meshwright/meshwright/internal/envoy/route"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/resource"
	"github.com/meshwright/meshwright/internal/xds"
)

// unknown is what a proxy that asks gets for a host that nobody knows, or for an
// address that nobody has: what is done for all others. It is nil for a cluster whose
// name is no address.
func unknown(rest *xds.Resource, name string) (*xds.Resource, error) {
	if rest.Type == xds.ClusterType {
		return unknownAddress(rest, name)
	}
	return unknownHost(rest, name)
}

func unknownAddress(rest *xds.Resource, name string) (*xds.Resource, error) {
	if _, err := netip.ParseAddrPort(name); err != nil {
		return nil, nil
	}
	var all clusterv3.Cluster
	if err := proto.Unmarshal(rest.Body, &all); err != nil {
		return nil, fmt.Errorf("read the cluster for all other addresses: %w", err)
	}
	all.Name = name
	r, err := resource.Finish(resource.TypeCluster, name, &all, nil)
	if err != nil {
		return nil, err
	}
	r.EDS = rest.EDS
	return served(r), nil
}

func unknownHost(rest *xds.Resource, name string) (*xds.Resource, error) {
	k, ok := ir.ParseVirtualHostName(name)
	if !ok {
		return nil, fmt.Errorf("%q is no name of a virtual host", name)
	}
	var all routev3.VirtualHost
	if err := proto.Unmarshal(rest.Body, &all); err != nil {
		return nil, fmt.Errorf("read the host for all others: %w", err)
	}
	r, err := resource.Finish(resource.TypeVirtualHost, name, route.Unknown(&all, k), nil)
	if err != nil {
		return nil, err
	}
	return served(r), nil
}

// noCluster is what a proxy gets in place of a cluster that does not exist. That of an
// address does for the connections that are left what was done before the proxy held
// everything.
func noCluster(settings *ir.Mesh, name string) []byte {
	built := cluster.Empty(name)
	if _, err := netip.ParseAddrPort(name); err == nil {
		built = cluster.Unknown(settings.TrustDomain, settings.RegistryOnly)
		built.Name = name
	}
	body, err := proto.Marshal(built)
	if err != nil {
		return nil // the name is no text; such a name cannot arrive
	}
	return body
}
