// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"testing"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/golden"
)

func TestGolden(t *testing.T) {
	golden.Messages(t, map[string]func() golden.Message{
		"host": func() golden.Message {
			return Domain(&ir.Name{
				Host:      "reviews.books.svc.cluster.local",
				Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")},
			})
		},
		"wildcard": func() golden.Message {
			return Domain(&ir.Name{Host: "*.example.com", Addresses: []netip.Addr{netip.MustParseAddr("240.240.0.1")}})
		},
	})
}
