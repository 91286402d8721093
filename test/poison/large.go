// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"fmt"
	"strings"
)

type object = map[string]any

// large is the cases that would be a nuisance to keep in files.
func large() ([]Case, error) {
	to := []any{object{"destination": object{"host": "other"}}}
	route := func(rule object) object { return object{"hosts": []any{"other"}, "http": []any{rule}} }
	repeat := func(n int, f func(i int) any) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = f(i)
		}
		return out
	}
	long := strings.Repeat("a", 300)
	var out []Case
	for _, c := range []struct {
		name, kind string
		spec       object
	}{
		{"ten thousand matches", "VirtualService", route(object{"route": to, "match": repeat(10_000, func(i int) any {
			return object{"uri": object{"exact": fmt.Sprintf("/%d", i)}}
		})})},
		{"two thousand rules", "VirtualService", object{"hosts": []any{"other"}, "http": repeat(2000, func(i int) any {
			return object{"route": to, "match": []any{object{"uri": object{"prefix": fmt.Sprintf("/%d/", i)}}}}
		})}},
		{"a thousand expressions", "VirtualService", route(object{"route": to, "match": repeat(1000, func(i int) any {
			return object{"uri": object{"regex": fmt.Sprintf("/%d/[a-z]{1,100}", i)}}
		})})},
		{"an expression of 1 MiB", "VirtualService", route(object{"route": to, "match": []any{object{"uri": object{"regex": strings.Repeat("a", 1<<20)}}}})},
		{"an answer of 1 MiB", "VirtualService", route(object{"directResponse": object{"status": 200, "body": object{"string": strings.Repeat("x", 1<<20)}}})},
		{"a header of 1 MiB", "VirtualService", route(object{"route": to, "headers": object{"request": object{"set": object{"x": strings.Repeat("x", 1<<20)}}}})},
		{"a thousand hosts", "VirtualService", object{"gateways": []any{"edge"}, "http": []any{object{"route": to}}, "hosts": repeat(1000, func(i int) any {
			return fmt.Sprintf("h%d.example.com", i)
		})}},
		{"a host of 300 characters", "VirtualService", object{"hosts": []any{long, long + ".example.com"}, "http": []any{object{"route": to}}}},
		{"a subset of 300 characters", "DestinationRule", object{"host": "other", "subsets": []any{object{"name": long, "labels": object{"v": "1"}}}}},
		{"a thousand subsets", "DestinationRule", object{"host": "other", "subsets": repeat(1000, func(i int) any {
			return object{"name": fmt.Sprintf("s%d", i), "labels": object{"v": "1"}}
		})}},
		{"keys of 1 MiB", "RequestAuthentication", object{"jwtRules": []any{object{"issuer": "x", "jwks": `{"keys":["` + strings.Repeat("a", 1<<20) + `"]}`}}}},
		{"a thousand issuers", "RequestAuthentication", object{"jwtRules": repeat(1000, func(i int) any {
			return object{"issuer": fmt.Sprintf("issuer-%d", i), "jwks": `{"keys":[{"kty":"oct","k":"AAAA"}]}`}
		})}},
		{"a thousand servers", "Gateway", object{"selector": object{"app": "edge"}, "servers": repeat(1000, func(i int) any {
			return object{"port": object{"number": 10_000 + i, "name": fmt.Sprintf("http-%d", i), "protocol": "HTTP"}, "hosts": []any{"bad.example.com"}}
		})}},
	} {
		made, err := newCase(c.name, c.kind, c.spec)
		if err != nil {
			return nil, err
		}
		out = append(out, made)
	}
	return out, nil
}
