// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/meshwright/meshwright/internal/ir"
)

// entryHost is a name of a ServiceEntry: its own, that of a Service, or one that
// means a Service where it is short for it.
func (x *chaos) entryHost() string {
	return pick(x.r, "shop.example.com", "api.example.com", "*.example.com", x.host(), "s0.apps", "s1.shop.svc")
}

func (x *chaos) serviceEntry(k ir.ConfigKey) *ir.ServiceEntry {
	out := &ir.ServiceEntry{
		Origin:  ir.Origin{Kind: "ServiceEntry", Namespace: k.Namespace, Name: k.Name},
		Created: int64(x.r.IntN(3)), External: x.r.IntN(2) == 0, ExportTo: x.visibility(),
		Resolution: pick(x.r, ir.ResolveNone, ir.ResolveStatic, ir.ResolveStatic, ir.ResolveDNS, ir.ResolveDNSLogical),
	}
	if x.r.IntN(5) == 0 {
		return dynamicEntry(x, out)
	}
	for range 1 + x.r.IntN(2) {
		out.Hosts = append(out.Hosts, x.entryHost())
	}
	slices.Sort(out.Hosts)
	out.Hosts = slices.Compact(out.Hosts)
	for i, port := range []uint16{80, 443, 8080, 9000} {
		if i == 0 || x.r.IntN(2) == 0 {
			out.Ports = append(out.Ports, ir.ServicePort{
				Name: fmt.Sprintf("port-%d", i), Port: port, Target: port + uint16(x.r.IntN(2)),
				Protocol: pick(x.r, ir.ProtocolHTTP, ir.ProtocolHTTP, ir.ProtocolTCP, ir.ProtocolTLS),
			})
		}
	}
	switch x.r.IntN(3) {
	case 0:
		out.Addresses = []netip.Prefix{netip.MustParsePrefix(pick(x.r, "10.96.0.49/32", "192.0.2.1/32", "192.0.2.1/32", "192.0.2.0/24", "198.51.0.0/16"))}
	default:
		out.Allocate = out.Resolution != ir.ResolveNone
	}
	switch x.r.IntN(3) {
	case 0:
		out.Selector = x.labels()
	case 1:
		if out.Resolution != ir.ResolveNone {
			out.Endpoints = []ir.Workload{*x.workloadEntry(k)}
		}
	}
	if x.r.IntN(3) == 0 {
		out.SubjectAltNames = []string{"spiffe://cluster.local/ns/apps/sa/other"}
	}
	return out
}

// dynamicEntry resolves the names that clients ask for, of a pattern that other hosts
// and routes have names of.
func dynamicEntry(x *chaos, out *ir.ServiceEntry) *ir.ServiceEntry {
	out.Resolution, out.Hosts = ir.ResolveDynamic, []string{pick(x.r, "*.example.com", "*.shop.example.com")}
	for i, port := range []uint16{80, 443} {
		if i == 0 || x.r.IntN(2) == 0 {
			out.Ports = append(out.Ports, ir.ServicePort{
				Name: fmt.Sprintf("port-%d", i), Port: port, Target: port + uint16(x.r.IntN(2)),
				Protocol: pick(x.r, ir.ProtocolHTTP, ir.ProtocolTLS),
			})
		}
	}
	return out
}

func (x *chaos) workloadEntry(k ir.ConfigKey) *ir.Workload {
	out := &ir.Workload{
		Origin: ir.Origin{Kind: "WorkloadEntry", Namespace: k.Namespace, Name: k.Name},
		Labels: x.labels(), Weight: uint32(x.r.IntN(3)), ServiceAccount: pick(x.r, "", "one"), Meshed: x.r.IntN(2) == 0,
		Locality: ir.Locality{Region: pick(x.r, "", "west")},
		Addr:     netip.AddrFrom4([4]byte{10, 7, 0, byte(x.r.IntN(3))}),
	}
	if x.r.IntN(3) == 0 {
		out.Ports = []ir.SlicePort{{Name: "port-0", Port: 8000}}
	}
	out.Probed = x.r.IntN(3) == 0
	return out
}

func (x *chaos) workloadGroup(k ir.ConfigKey) *ir.WorkloadGroup {
	return &ir.WorkloadGroup{
		Origin:   ir.Origin{Kind: "WorkloadGroup", Namespace: k.Namespace, Name: k.Name},
		Template: ir.Workload{Ports: []ir.SlicePort{{Name: "port-0", Port: pick(x.r, uint16(8000), 8001)}}},
	}
}

// allocated is what a status may say: addresses that were given, of which some are the
// same and some are none of ours.
func (x *chaos) allocated(ir.ConfigKey) *ir.Allocated {
	out := &ir.Allocated{}
	for _, host := range []string{"api.example.com", "shop.example.com"} {
		out.Addresses = append(out.Addresses, ir.HostAddress{
			Host: host, Addr: netip.MustParseAddr(pick(x.r, "240.240.0.1", "240.240.0.1", "240.240.0.2", "192.0.2.1")),
		})
	}
	return out
}
