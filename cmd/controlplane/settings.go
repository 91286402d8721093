// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/meshconfig"
	"github.com/meshwright/meshwright/internal/projection"
)

var normalizations = map[string]ir.PathNormalization{
	meshconfig.NormalizeNone:                  ir.PathAsIs,
	meshconfig.NormalizeMergeSlashes:          ir.PathMergeSlashes,
	meshconfig.NormalizeDecodeAndMergeSlashes: ir.PathDecodeAndMergeSlashes,
}

var ingressModes = map[string]ir.IngressMode{
	meshconfig.IngressStrict:  ir.IngressStrict,
	meshconfig.IngressDefault: ir.IngressAll,
}

func ingress(in *meshconfig.Ingress, own string) ir.IngressSettings {
	namespace, name := in.Service()
	return ir.IngressSettings{
		Mode: ingressModes[in.IngressControllerMode], Class: in.IngressClass,
		Selector: ir.NewLabels(map[string]string{"istio": in.IngressSelector}),
		Service:  ir.ConfigKey{Namespace: cmp.Or(namespace, own), Name: name},
	}
}

// settings is the mesh's row, and who sees objects that do not say it. What the maps
// above lack is the zero of its type.
func settings(mesh *meshconfig.Config, o *options) (*ir.Mesh, *projection.Exports, error) {
	scope, ok := ir.ParseDiscoveryScope(mesh.DiscoveryScope)
	if !ok {
		return nil, nil, fmt.Errorf("there is no discovery scope %q", mesh.DiscoveryScope)
	}
	objects, retryBudget, err := mesh.JSON()
	if err != nil {
		return nil, nil, err
	}
	defaults, err := projection.Mesh(objects, retryBudget)
	if err != nil {
		return nil, nil, err
	}
	out := &ir.Mesh{
		TrustDomain: mesh.TrustDomain, RootNamespace: o.namespace,
		ClusterDomain: o.clusterDomain, ClusterID: o.clusterID,
		RegistryOnly:  mesh.OutboundTrafficPolicy.Mode == meshconfig.RegistryOnly,
		DynamicDNS:    mesh.OutboundTrafficPolicy.Mode == meshconfig.AllowAnyDynamicDNS,
		AccessLogFile: mesh.AccessLogFile, DiscoveryScope: scope,
		Detection: mesh.ProtocolDetectionTimeout.Duration,
		Ingress:   ingress(&mesh.Ingress, o.namespace),
		Near:      defaults.Near,
		Clients:   defaults.Clients, NearByZones: defaults.ByZones,
		Paths: normalizations[mesh.PathNormalization.Normalization],
	}
	if edge := mesh.DefaultConfig.Topology; edge != nil {
		out.Edge = *edge
	}
	if dialect := mesh.DefaultConfig.Dialect; dialect != nil {
		out.Dialect = *dialect
	}
	out.Dialect.HTTP10 = mesh.DefaultConfig.TakesHTTP10()
	return out, &defaults.Exports, nil
}
