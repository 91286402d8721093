// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/analysis"
	"github.com/meshwright/meshwright/internal/report"
)

func TestDiscovery(t *testing.T) {
	refused := func(resources ...string) map[string]report.Refusal {
		out := map[string]report.Refusal{}
		for _, r := range resources {
			out[r] = report.Refusal{Object: "VirtualService app/" + r, Resource: r, Proxy: "sidecar~10.0.0.1~web-1.app~", Message: "no such field"}
		}
		return out
	}
	for name, c := range map[string]struct {
		next, previous analysis.Side
		want           string // "": all is well
	}{
		"all is well":       {analysis.Side{Proxies: report.Proxies{Connected: 4, Synced: 4}}, analysis.Side{}, ""},
		"more than pods":    {analysis.Side{Proxies: report.Proxies{Connected: 6, Synced: 6}}, analysis.Side{}, ""},
		"changes under way": {analysis.Side{Proxies: report.Proxies{Connected: 4}}, analysis.Side{}, ""},
		"one is missing":    {analysis.Side{Proxies: report.Proxies{Connected: 3, Synced: 3}}, analysis.Side{}, "3 of 4 proxies of next are connected"},
		"one does not answer": {
			analysis.Side{Proxies: report.Proxies{Connected: 4, Synced: 3, Lagging: 1}},
			analysis.Side{},
			"1 of 4 proxies of next have not answered to their configuration for 30 s",
		},
		"only the new ones refuse": {
			analysis.Side{Proxies: report.Proxies{Connected: 4, Rejecting: 2}, Refused: refused("a", "b")},
			analysis.Side{Refused: refused("a"), Proxies: report.Proxies{Rejecting: 1}},
			"2 of 4 proxies of next refuse some of their configuration: b of VirtualService app/b at proxy sidecar~10.0.0.1~web-1.app~: no such field",
		},
		"both refuse it": {
			analysis.Side{Proxies: report.Proxies{Connected: 4, Rejecting: 1}, Refused: refused("a")}, analysis.Side{Refused: refused("a", "c")}, "",
		},
		"nobody refuses it any more": {
			analysis.Side{Proxies: report.Proxies{Connected: 4, Synced: 4}, Refused: refused("a")}, analysis.Side{}, "",
		},
		"of no object": {
			analysis.Side{Proxies: report.Proxies{Connected: 4, Rejecting: 1}}, analysis.Side{}, "1 of 4 proxies of next refuse some of their configuration: the log of the control plane says which",
		},
		"of no object, and before": {
			analysis.Side{Proxies: report.Proxies{Connected: 4, Rejecting: 1}}, analysis.Side{Proxies: report.Proxies{Rejecting: 1}}, "",
		},
		"many": {
			analysis.Side{Proxies: report.Proxies{Connected: 4, Rejecting: 4}, Refused: refused("a", "b", "c", "d", "e")}, analysis.Side{}, "no such field; and 2 more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.next.Revision = "next"
			got := analysis.Discovery(c.next, c.previous, 4)
			if got.Good != (c.want == "") || got.Bad != "" || !strings.Contains(got.Missing, c.want) {
				t.Errorf("got %+v, want %q", got, c.want)
			}
		})
	}
}
