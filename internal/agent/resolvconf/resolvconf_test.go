// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse(strings.NewReader(`# comment
domain ignored.example
search Shop.svc.cluster.local. svc.cluster.local cluster.local .
nameserver 10.96.0.10
nameserver not-an-address
nameserver fd00::a
nameserver ::ffff:10.96.0.11
nameserver 10.96.0.12
options ndots:5
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Servers: []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a"), netip.MustParseAddr("10.96.0.11")},
		Search:  []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
