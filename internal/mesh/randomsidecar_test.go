// SPDX-License-Identifier: Apache-2.0

package mesh

import "github.com/meshwright/meshwright/internal/ir"

func (x *chaos) sidecar(k ir.ConfigKey) *ir.Sidecar {
	s := &ir.Sidecar{Origin: ir.Origin{Kind: "Sidecar", Namespace: k.Namespace, Name: k.Name}, Created: int64(x.r.IntN(3))}
	if x.r.IntN(2) == 0 {
		s.Selector = x.labels()
	}
	pattern := func() ir.HostPattern {
		return ir.HostPattern{
			Namespace: pick(x.r, append([]string{"", ir.OwnNamespace}, chaosNamespaces...)...),
			Host:      pick(x.r, "*", x.host(), "*.apps.svc.cluster.local", "*.example.com"),
		}
	}
	s.All = x.r.IntN(4) == 0
	for range x.r.IntN(3) {
		s.Imports = append(s.Imports, pattern())
	}
	if x.r.IntN(3) == 0 {
		s.Excludes = append(s.Excludes, pattern())
	}
	if s.Unknown = x.unknown(); s.Unknown != nil {
		s.Unknown.Origin = s.Origin
	}
	return s
}

func (x *chaos) unknown() *ir.Unknown {
	return pick(x.r, nil, nil, &ir.Unknown{}, &ir.Unknown{Refused: true}, &ir.Unknown{Proxy: ir.ClusterKey{Host: x.host(), Port: 80, Subset: pick(x.r, "", "v1")}})
}
