// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"net/netip"
	"testing"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/golden"
)

func TestGolden(t *testing.T) {
	key := ir.ClusterKey{Host: "reviews.books.svc.cluster.local", Port: 9080, Subset: "v1"}
	golden.Messages(t, map[string]func() golden.Message{
		"empty": func() golden.Message { return Assignment(&ir.Assignment{Cluster: key}) },
		"preferences": func() golden.Message {
			one := []ir.Endpoint{{Addr: netip.MustParseAddr("10.0.0.1"), Port: 9080}}
			return Assignment(&ir.Assignment{Cluster: key, Localities: []ir.LocalityEndpoints{
				{Locality: ir.Locality{Region: "west", Zone: "a"}, Weight: 8000, Endpoints: one},
				{Locality: ir.Locality{Region: "west", Zone: "b"}, Priority: 1, Endpoints: one},
			}})
		},
		"families": func() golden.Message {
			return Assignment(&ir.Assignment{Cluster: key, Localities: []ir.LocalityEndpoints{{Endpoints: []ir.Endpoint{
				{Addr: netip.MustParseAddr("10.0.0.1"), Also: netip.MustParseAddr("fd00::1"), Port: 9080, TLS: true},
				{Addr: netip.MustParseAddr("fd00::2"), Also: netip.MustParseAddr("10.0.0.2"), Port: 9080},
			}}}})
		},
		"leaving": func() golden.Message {
			return Assignment(&ir.Assignment{Cluster: key, Localities: []ir.LocalityEndpoints{
				{Endpoints: []ir.Endpoint{{Addr: netip.MustParseAddr("10.0.0.1"), Port: 9080}}},
				{Priority: 1, Endpoints: []ir.Endpoint{{Addr: netip.MustParseAddr("10.0.0.2"), Port: 9080, Leaving: true}}},
			}})
		},
		"localities": func() golden.Message {
			return Assignment(&ir.Assignment{Cluster: key, Localities: []ir.LocalityEndpoints{{
				Endpoints: []ir.Endpoint{{Addr: netip.MustParseAddr("10.0.0.1"), Port: 9080}},
			}, {
				Locality: ir.Locality{Region: "west", Zone: "a", SubZone: "rack"},
				Endpoints: []ir.Endpoint{
					{Addr: netip.MustParseAddr("10.0.0.2"), Port: 9080, TLS: true},
					{Addr: netip.MustParseAddr("fd00::2"), Port: 9080, TLS: true, Weight: 3},
				},
			}}})
		},
	})
}
