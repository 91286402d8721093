// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/envoy/cluster"
	"github.com/meshwright/meshwright/internal/envoy/route"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/resource"
	"github.com/meshwright/meshwright/internal/xds"
)

// unknownHost is what a proxy that asks gets for a host that nobody knows.
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

// noCluster is what a proxy gets in place of a cluster that does not exist.
func noCluster(name string) []byte {
	body, err := proto.Marshal(cluster.Empty(name))
	if err != nil {
		return nil // the name is no text; such a name cannot arrive
	}
	return body
}
