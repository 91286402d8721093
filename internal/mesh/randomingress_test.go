// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"net/netip"

	"github.com/meshwright/meshwright/internal/ir"
)

func (x *chaos) ingress(k ir.ConfigKey) *ir.Ingress {
	out := &ir.Ingress{
		Origin:  ir.Origin{Kind: "Ingress", Namespace: k.Namespace, Name: k.Name},
		Created: int64(x.r.IntN(3)), Class: pick(x.r, "", "istio", "k0", "k1"), Annotated: x.r.IntN(3) == 0,
	}
	rule := func(section, path string) ir.IngressRule {
		r := ir.IngressRule{Path: path, Exact: x.r.IntN(2) == 0}
		r.Rule.Origin = out.Origin
		r.Rule.Origin.Section = section
		r.Rule.Matches = []ir.Match{{Path: &ir.StringMatch{Value: path}}}
		if x.r.IntN(6) == 0 {
			r.Rule.Direct = &ir.Direct{Status: 500}
			return r
		}
		r.Rule.Destinations = []ir.Destination{{Host: x.host(), Port: 80, Weight: 100}}
		if x.r.IntN(2) == 0 {
			r.PortName, r.Rule.Destinations[0].Port = pick(x.r, "port-80", "port-9000"), 0
		}
		return r
	}
	for _, host := range []string{"*", "*.example.com", "shop.example.com"} {
		if x.r.IntN(2) == 0 {
			continue
		}
		h := ir.IngressHost{Host: host}
		for i := range x.r.IntN(3) {
			h.Rules = append(h.Rules, rule(fmt.Sprintf("%s[%d]", host, i), pick(x.r, "/", "/a", "/a/b")))
		}
		out.Hosts = append(out.Hosts, h)
	}
	if x.r.IntN(3) == 0 {
		r := rule("defaultBackend", "")
		r.Rule.Matches = nil
		out.Default = &r
	}
	if x.r.IntN(3) == 0 {
		out.TLS = []ir.IngressTLS{{Secret: pick(x.r, "c0", "c1"), Hosts: []string{pick(x.r, "*", "shop.example.com")}}}
	}
	return out
}

func (x *chaos) outside() []ir.HostAddress {
	if x.r.IntN(2) == 0 {
		return nil
	}
	return []ir.HostAddress{{Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(x.r.IntN(3))})}}
}
