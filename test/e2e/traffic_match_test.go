// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Mobile/15E148"

// testMatch has a rule for each field of a match; rules tell their names in a header.
func testMatch(t *testing.T) {
	var rules []string
	rule := func(name, match string) {
		rules = append(rules, fmt.Sprintf(
			"    - {name: %[1]s, match: [%[2]s], headers: {response: {set: {x-rule: %[1]s}}}, route: [{destination: {host: match, port: {number: 8080}}}]}", name, match))
	}
	at := func(rest string) string { return "{uri: {prefix: /at}, " + rest + "}" }
	rule("exact", "{uri: {exact: /exact}}")
	rule("prefix", "{uri: {prefix: /prefix}}")
	rule("regex", `{uri: {regex: "/regex/[0-9]+"}}`)
	rule("nocase", "{uri: {exact: /nocase}, ignoreUriCase: true}")
	rule("https", at("scheme: {exact: https}"))
	rule("plain", at("scheme: {exact: http}, headers: {x-scheme: {exact: asked}}"))
	rule("method", at("method: {exact: DELETE}"))
	rule("authority", at(`authority: {prefix: "match.e2e-app.svc"}`))
	rule("phones", at(`headers: {user-agent: {regex: ".*(iPhone|Android).*"}}`))
	rule("header", at("headers: {x-exact: {exact: one}}"))
	rule("header-prefix", at("headers: {x-prefix: {prefix: one}}"))
	rule("header-present", at("headers: {x-present: {}}"))
	rule("without", at("headers: {x-without: {exact: asked}}, withoutHeaders: {x-unwanted: {exact: \"yes\"}}"))
	rule("query", at(`queryParams: {color: {exact: red}}`))
	rule("query-regex", at(`queryParams: {size: {regex: "[0-9]+"}}`))
	rule("port", at("port: 8081"))
	rule("labels", at("sourceLabels: {app: backend}"))
	rule("namespace", at("sourceNamespace: e2e-other"))
	rule("gateways", at("gateways: [mesh], headers: {x-gateways: {exact: asked}}"))
	rule("elsewhere", at("gateways: [doors-that-are-not], headers: {x-elsewhere: {exact: asked}}"))
	rule("counted", at("statPrefix: counted, headers: {x-counted: {exact: asked}}"))
	rule("rest", "{uri: {prefix: /}}")
	given(t, service("match", "app: echo", "http:8080", "http-other:8081:8080"), object("VirtualService", "match", "  hosts: [match]\n  http:\n"+strings.Join(rules, "\n")))

	backend := func(ctx context.Context, args ...string) (env.Report, error) {
		return cluster.Call(ctx, appSpace, "app=backend", "echo", args...)
	}
	const far = "http://match.e2e-app.svc.cluster.local:8080"
	for _, c := range []struct {
		rule string
		from func(context.Context, ...string) (env.Report, error)
		args []string
	}{
		{"exact", call, []string{"http://match:8080/exact"}},
		{"rest", call, []string{"http://match:8080/exact/not"}},
		{"prefix", call, []string{"http://match:8080/prefix/and/more"}},
		{"regex", call, []string{"http://match:8080/regex/42?x=1"}},
		{"rest", call, []string{"http://match:8080/regex/42/more"}},
		{"nocase", call, []string{"http://match:8080/NoCase"}},
		{"rest", call, []string{"http://match:8080/EXACT"}},
		{"plain", call, []string{"http://match:8080/at", "--header=x-scheme:asked"}},
		{"method", call, []string{"http://match:8080/at", "--method=DELETE"}},
		{"authority", call, []string{far + "/at"}},
		{"phones", call, []string{"http://match:8080/at", "--header=user-agent:" + phone}},
		{"rest", call, []string{"http://match:8080/at", "--header=user-agent:curl/8"}},
		{"header", call, []string{"http://match:8080/at", "--header=x-exact:one"}},
		{"rest", call, []string{"http://match:8080/at", "--header=x-exact:one more"}},
		{"header-prefix", call, []string{"http://match:8080/at", "--header=x-prefix:one more"}},
		{"header-present", call, []string{"http://match:8080/at", "--header=x-present:any"}},
		{"without", call, []string{"http://match:8080/at", "--header=x-without:asked"}},
		{"without", call, []string{"http://match:8080/at", "--header=x-without:asked", "--header=x-unwanted:no"}},
		{"rest", call, []string{"http://match:8080/at", "--header=x-without:asked", "--header=x-unwanted:yes"}},
		{"query", call, []string{"http://match:8080/at?color=red&size=x"}},
		{"rest", call, []string{"http://match:8080/at?color=reddish"}},
		{"query-regex", call, []string{"http://match:8080/at?size=42"}},
		{"rest", call, []string{"http://match:8080/at?size=42x"}},
		{"port", call, []string{"http://match:8081/at"}},
		{"labels", backend, []string{"http://match:8080/at"}},
		{"namespace", otherCalls, []string{"http://match.e2e-app:8080/at"}},
		{"gateways", call, []string{"http://match:8080/at", "--header=x-gateways:asked"}},
		{"rest", call, []string{"http://match:8080/at", "--header=x-elsewhere:asked"}},
		{"counted", call, []string{"http://match:8080/at", "--header=x-counted:asked", "--count=7"}},
		{"rest", call, []string{"http://match:8080/at"}},
	} {
		r, err := c.from(t.Context(), c.args...)
		must(t, err)
		if got := r.LastHeaders.Get("X-Rule"); got != c.rule || r.Failed() > 0 {
			t.Errorf("%v: rule %q, want %q; %s", c.args, got, c.rule, r)
		}
	}
	stats, err := cluster.Stats(t.Context(), appSpace, "app=client", `route\.counted\.upstream_rq_total$`)
	must(t, err)
	total := 0.0
	for _, n := range stats {
		total += n
	}
	if total != 7 {
		t.Errorf("the counters of the prefix that the rule asks for: %v, want 7 requests", stats)
	}
}
