// SPDX-License-Identifier: Apache-2.0

package address

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPlansOfOneMachineNeverOverlap(t *testing.T) {
	var all []netip.Prefix
	var used []Plan
	for range MaxClusters {
		p, err := Choose(nil, used, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Nodes().Contains(p.Node()) || !p.Services().Contains(p.DNS()) || !p.Services().Contains(p.API()) {
			t.Errorf("plan %+v has an address outside its range", p)
		}
		if p.Node() == p.Bridge().Addr() {
			t.Errorf("plan %+v gives the node the bridge's address", p)
		}
		if len(p.Interface()) > 15 {
			t.Errorf("interface name %q is longer than the kernel takes", p.Interface())
		}
		for _, own := range append(p.Ranges(), netip.PrefixFrom(p.Node(), 32)) {
			for _, other := range all {
				if own.Overlaps(other) {
					t.Errorf("%s of plan %d overlaps %s of an earlier one", own, p.Index, other)
				}
			}
		}
		all = append(append(all, p.Ranges()...), netip.PrefixFrom(p.Node(), 32))
		used = append(used, p)
	}
	if _, err := Choose(nil, used, nil); err == nil || !strings.Contains(err.Error(), "take a cluster down") {
		t.Errorf("one cluster too many: got error %v, want one that names the remedy", err)
	}
}

func TestChoose(t *testing.T) {
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		prefer *Plan
		used   []Plan
		taken  []netip.Prefix
		want   Plan
	}{
		{"first", nil, nil, nil, Plan{200, 1}},
		{"default route takes nothing", nil, nil, prefixes("0.0.0.0/0"), Plan{200, 1}},
		{"lowest gap", nil, []Plan{{200, 1}, {200, 3}}, nil, Plan{200, 2}},
		{"pod range taken", nil, nil, prefixes("10.11.5.0/24"), Plan{200, 2}},
		{"service range taken", nil, nil, prefixes("10.111.0.1/32"), Plan{200, 2}},
		{"node network taken", nil, nil, prefixes("10.200.0.7/32"), Plan{201, 1}},
		{"base of the others is kept", nil, []Plan{{201, 1}}, nil, Plan{201, 2}},
		{"preferred and free", &Plan{200, 7}, []Plan{{200, 1}}, nil, Plan{200, 7}},
		{"preferred but used", &Plan{200, 1}, []Plan{{200, 1}}, nil, Plan{200, 2}},
		{"preferred but of another base", &Plan{201, 7}, []Plan{{200, 1}}, nil, Plan{200, 2}},
		{"preferred but taken", &Plan{200, 7}, nil, prefixes("10.17.0.0/24"), Plan{200, 1}},
		{"preferred but absurd", &Plan{200, 90}, nil, nil, Plan{200, 1}},
	} {
		got, err := Choose(tc.prefer, tc.used, tc.taken)
		if err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v, want %+v", tc.name, got, err, tc.want)
		}
	}
}
