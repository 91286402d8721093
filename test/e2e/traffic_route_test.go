// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// A VirtualService of a gateway does not hold inside the mesh, and one that is
// exported to its own namespace holds for that alone.
func testReach(t *testing.T) {
	given(t, service("reach", "app: echo"), service("reach-own", "app: echo"),
		object("Gateway", "reach", `
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [reach.e2e.example]}]`),
		object("VirtualService", "reach", `
  hosts: [reach.e2e-app.svc.cluster.local, reach.e2e.example]
  gateways: [reach]
  http: [{directResponse: {status: 418}}]`),
		object("VirtualService", "reach-own", `
  hosts: [reach-own.e2e-app.svc.cluster.local]
  exportTo: ["."]
  http: [{directResponse: {status: 418}}]`))
	must(t, answered(asked(t, "http://reach:8080")))
	if r := atGateway(t, env.Request{URL: "http://reach.e2e.example/"}); r.Code != 418 {
		t.Errorf("at the gateway: %d, want 418 of its VirtualService", r.Code)
	}
	if r := asked(t, "http://reach-own:8080"); r.Codes["418"] != 1 {
		t.Errorf("in the namespace that it is exported to: %s, want 418", r)
	}
	r, err := otherCalls(t.Context(), "http://reach-own.e2e-app:8080")
	must(t, err)
	if err := answered(r); err != nil {
		t.Errorf("in a namespace that it is not exported to: %v", err)
	}
}

const redirects = `
  hosts: [redirect]
  http:
    - {match: [{uri: {prefix: /uri}}], redirect: {uri: /new}}
    - {match: [{uri: {prefix: /authority}}], redirect: {authority: "other.example"}}
    - {match: [{uri: {prefix: /both}}], redirect: {uri: /new, authority: "other.example:9999"}}
    - {match: [{uri: {prefix: /code}}], redirect: {uri: /new, redirectCode: 307}}
    - {match: [{uri: {prefix: /scheme}}], redirect: {scheme: https}}
    - {match: [{uri: {prefix: /port}}], redirect: {port: 8443}}
    - {match: [{uri: {prefix: /same}}], redirect: {authority: other.example, derivePort: FROM_REQUEST_PORT}}
    - {match: [{uri: {prefix: /prefix/}}], redirect: {prefixRewrite: /new/, redirectCode: 302}}`

func testRedirect(t *testing.T) {
	given(t, service("redirect", "app: echo"), object("VirtualService", "redirect", redirects),
		object("Gateway", "redirect", `
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [redirect.e2e.example]}]`),
		object("VirtualService", "redirect-usual", `
  hosts: [redirect.e2e.example]
  gateways: [redirect]
  http: [{redirect: {scheme: https, derivePort: FROM_PROTOCOL_DEFAULT}}]`))
	usual := atGateway(t, env.Request{URL: "http://redirect.e2e.example/a?x=1"})
	if got := usual.Header.Get("Location"); usual.Code != 301 || got != "https://redirect.e2e.example/a?x=1" {
		t.Errorf("to the port that is usual for https: %d to %q", usual.Code, got)
	}
	for _, c := range []struct{ path, code, location string }{
		{"/uri/a?x=1", "301", "http://redirect:8080/new?x=1"},
		{"/authority/a?x=1", "301", "http://other.example/authority/a?x=1"},
		{"/both", "301", "http://other.example:9999/new"},
		{"/code", "307", "http://redirect:8080/new"},
		{"/scheme/a", "301", "https://redirect:8080/scheme/a"},
		{"/port/a", "301", "http://redirect:8443/port/a"},
		{"/same/a", "301", "http://other.example:8080/same/a"},
		{"/prefix/a/b?x=1", "302", "http://redirect:8080/new/a/b?x=1"},
	} {
		r := asked(t, "http://redirect:8080"+c.path)
		if got := r.LastHeaders.Get("Location"); r.Codes[c.code] != 1 || got != c.location {
			t.Errorf("%s: codes %v to %q, want %s to %q", c.path, r.Codes, got, c.code, c.location)
		}
	}
}

const rewrites = `
  hosts: [rewrite]
  http:
    - {match: [{uri: {prefix: /old/}}], rewrite: {uri: /new/}, route: [{destination: {host: rewrite}}]}
    - {match: [{uri: {exact: /exact}}], rewrite: {uri: /other}, route: [{destination: {host: rewrite}}]}
    - {match: [{uri: {prefix: /host}}], rewrite: {authority: inner.example}, route: [{destination: {host: rewrite}}]}
    - match: [{uri: {prefix: /user/}}]
      rewrite: {uriRegexRewrite: {match: "/user/([^/]+)/(.*)", rewrite: '/by-name/\1?of=\2'}}
      route: [{destination: {host: rewrite}}]`

func testRewrite(t *testing.T) {
	given(t, service("rewrite", "app: echo"), object("VirtualService", "rewrite", rewrites))
	for _, c := range []struct{ path, arrives, host string }{
		{"/old/a/b?x=1", "/new/a/b?x=1", "rewrite:8080"},
		{"/exact?x=1", "/other?x=1", "rewrite:8080"},
		{"/host/a", "/host/a?", "inner.example"},
		{"/user/ann/cart", "/by-name/ann?of=cart", "rewrite:8080"},
	} {
		e := echoed(t, "http://rewrite:8080"+c.path)
		if got := e.Path + "?" + e.Query; got != c.arrives || e.Asked != c.host {
			t.Errorf("%s arrives as %s for %s, want %s for %s", c.path, got, e.Asked, c.arrives, c.host)
		}
	}
}

// seenBy is how many requests with a key the only pod behind a host got.
func seenBy(t *testing.T, host, key string) int {
	t.Helper()
	r := asked(t, "http://"+host+":8080/seen?key="+key)
	must(t, answered(r))
	var told struct{ Seen int }
	must(t, jsonUnmarshal(r.Last, &told))
	return told.Seen
}

func testDirectResponse(t *testing.T) {
	given(t, service("direct", "app: echo, version: v1"), service("direct-open", "app: echo, version: v1"), object("VirtualService", "direct", `
  hosts: [direct]
  http: [{directResponse: {status: 503, body: {string: "closed for today"}}}]`))
	key := t.Name()
	r := asked(t, "http://direct:8080/any", "--count=20", "--header=x-key:"+key)
	if r.Codes["503"] != 20 || r.LastText != "closed for today" {
		t.Errorf("%s, body %q; want 503 with the body of the rule", r, r.LastText)
	}
	if n := seenBy(t, "direct-open", key); n != 0 {
		t.Errorf("%d requests reached the server, want none", n)
	}
}

// The match of the rule that delegates holds together with those of the delegate.
func testDelegate(t *testing.T) {
	given(t, service("delegate", "app: echo"), object("VirtualService", "delegate-shop", `
  http:
    - {name: cart, match: [{uri: {prefix: /shop/cart}}], headers: {response: {set: {x-rule: cart}}}, route: [{destination: {host: delegate}}]}
    - {name: shop, headers: {response: {set: {x-rule: shop}}}, route: [{destination: {host: delegate}}]}`),
		object("VirtualService", "delegate", `
  hosts: [delegate]
  http:
    - {match: [{uri: {prefix: /shop}, headers: {x-team: {exact: a}}}], delegate: {name: delegate-shop}}
    - {headers: {response: {set: {x-rule: rest}}}, route: [{destination: {host: delegate}}]}`))
	for _, c := range []struct{ path, team, rule string }{
		{"/shop/cart/1", "a", "cart"}, {"/shop/x", "a", "shop"}, {"/shop/cart/1", "b", "rest"}, {"/other", "a", "rest"},
	} {
		r := asked(t, "http://delegate:8080"+c.path, "--header=x-team:"+c.team)
		if got := r.LastHeaders.Get("X-Rule"); got != c.rule || r.Failed() > 0 {
			t.Errorf("%s of team %s: rule %q (%s), want %s", c.path, c.team, got, r, c.rule)
		}
	}
}

// Headers of a destination hold for what goes to it, those of the rule for all.
func testRouteHeaders(t *testing.T) {
	given(t, service("split", "app: echo"),
		object("DestinationRule", "split", `
  host: split
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]`),
		object("VirtualService", "split", `
  hosts: [split]
  http:
    - headers: {request: {set: {x-rule: both}}}
      route:
        - {destination: {host: split, subset: v1}, weight: 50, headers: {request: {set: {x-to: first}}, response: {set: {x-from: first}}}}
        - {destination: {host: split, subset: v2}, weight: 50, headers: {request: {set: {x-to: second}}, response: {set: {x-from: second}}}}`))
	want := map[string]string{"v1": "first", "v2": "second"}
	seen := map[string]bool{}
	for i := range 60 {
		r := asked(t, "http://split:8080/"+fmt.Sprint(i))
		must(t, answered(r))
		e, err := r.Echo()
		must(t, err)
		seen[e.Version] = true
		if to, from := header(e, "X-To"), r.LastHeaders.Get("X-From"); to != want[e.Version] || from != to || header(e, "X-Rule") != "both" {
			t.Fatalf("%s got x-to %q and x-rule %q, the client x-from %q", e.Version, to, header(e, "X-Rule"), from)
		}
		if len(seen) == 2 {
			return
		}
	}
	t.Errorf("only %v was asked", seen)
}
