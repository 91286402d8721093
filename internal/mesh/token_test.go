// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"time"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

var tokenKey = ir.ConfigKey{Namespace: "apps", Name: "t"}

func tokenBudgets() []budget {
	class, _ := sidecar("svc-0")
	tokens := func(forward bool) intake.Batch {
		origin := ir.Origin{Kind: "RequestAuthentication", Namespace: tokenKey.Namespace, Name: tokenKey.Name}
		return intake.Batch{RequestAuthentications: map[ir.ConfigKey]*ir.RequestAuthentication{tokenKey: {
			Origin: origin, Selector: ir.Labels{{Key: "app", Value: "svc-0"}},
			Rules: []ir.TokenRule{{Origin: origin, Issuer: "one", Forward: forward}},
		}}}
	}
	return []budget{{
		name:   "the first RequestAuthentication of a workload",
		change: tokens(false),
		evaluated: map[string]int{
			"tokens": 1, "inbounds": 1, "resource.tokens": 1, "resource.inboundClusters": 1, "resource.inboundListeners": 1,
		},
		sent: []string{"set class/" + class + " Listener virtualInbound", "set class/" + class + " TypedExtensionConfig envoy.filters.http.jwt_authn"},
	}, {
		name:      "an edit of a RequestAuthentication",
		before:    tokens(false),
		change:    tokens(true),
		evaluated: map[string]int{"tokens": 1, "resource.tokens": 1},
		sent:      []string{"set class/" + class + " TypedExtensionConfig envoy.filters.http.jwt_authn"},
	}}
}

func (x *chaos) requestAuthentication(k ir.ConfigKey) *ir.RequestAuthentication {
	out := &ir.RequestAuthentication{
		Origin:  ir.Origin{Kind: "RequestAuthentication", Namespace: k.Namespace, Name: k.Name},
		Created: int64(x.r.IntN(3)),
	}
	if x.r.IntN(2) == 0 {
		out.Selector = x.labels()
	}
	for i := range 1 + x.r.IntN(2) {
		rule := ir.TokenRule{
			Origin: out.Origin, Issuer: pick(x.r, "one", "two", ""), Audiences: pick(x.r, nil, []string{"a"}, []string{"b"}),
			Keys: ir.TokenKeys{Set: pick(x.r, "", "set")}, Forward: x.r.IntN(2) == 0,
		}
		if x.r.IntN(2) == 0 {
			rule.Keys.From = ir.KeysSource{
				URI: "http://" + pick(x.r, "a", "b"), Host: pick(x.r, "a", "b"), Port: 80, Timeout: time.Duration(1+x.r.IntN(2)) * time.Second,
			}
		}
		rule.Origin.Section = fmt.Sprintf("jwtRules[%d]", i)
		out.Rules = append(out.Rules, rule)
	}
	return out
}
