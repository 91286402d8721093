// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/test/token"
)

func tokensOf(name, namespace, selector string, rules ...string) string {
	out := fmt.Sprintf("\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: %s, namespace: %s}\nspec:\n", name, namespace)
	if selector != "" {
		out += "  selector: {matchLabels: {" + selector + "}}\n"
	}
	out += "  jwtRules:\n"
	for _, r := range rules {
		out += "  - " + r + "\n"
	}
	return out
}

// TestTokens: tokens are verified at gateways and in front of applications, a request
// without one passes, and edits of what is verified disturb no connection.
func TestTokens(t *testing.T) {
	w := New(t)
	// The first rule of a workload, and the last that goes, change its listeners:
	// what is under way has the time that it has in a pod.
	w.Drain = 20 * time.Second
	users, partners, strangers := token.NewIssuer(t, "https://users.example.com"), token.NewIssuer(t, "https://partners.example.com"), token.NewIssuer(t, "https://strangers.example.com")
	forged := token.NewIssuer(t, users.Name)
	rule := func(i *token.Issuer, more string) string {
		return fmt.Sprintf("{issuer: %q, jwks: '%s'%s}", i.Name, i.JWKS(), more)
	}
	atGateway := tokensOf("users", RootNamespace, "istio: ingress",
		rule(users, ", outputClaimToHeaders: [{header: x-user, claim: sub}], outputPayloadToHeader: x-payload, audiences: [shop]"),
		rule(partners, ", fromHeaders: [{name: x-partner}], fromParams: [partner], fromCookies: [partner], forwardOriginalToken: true"))
	w.Apply(shop + "---" + atGateway)
	cart := w.Start(Spec{Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar})
	cart.ServeEcho(8080)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	outside := w.Start(Spec{Namespace: "other", Name: "client-1"})
	call := Call{To: ingress.At(80), URL: "http://shop.example.com/"}
	with := func(c Call, h http.Header) Call { c.Header = h; return c }
	good := token.Claims{"aud": "shop"}
	outside.Expect(call, "200 cart-1")

	for name, c := range map[string]struct {
		header http.Header
		url    string
		want   string
	}{
		"nothing":            {want: "200"},
		"valid":              {header: users.Bearer(good), want: "200"},
		"valid among others": {header: users.Bearer(token.Claims{"aud": []string{"other", "shop"}}), want: "200"},
		"expired":            {header: users.Bearer(token.Claims{"aud": "shop", "exp": time.Now().Add(-time.Hour).Unix()}), want: "401"},
		"not yet":            {header: users.Bearer(token.Claims{"aud": "shop", "nbf": time.Now().Add(time.Hour).Unix()}), want: "401"},
		"another audience":   {header: users.Bearer(token.Claims{"aud": "other"}), want: "403"},
		"another key":        {header: forged.Bearer(good), want: "401"},
		"another issuer":     {header: strangers.Bearer(good), want: "401"},
		"no token at all":    {header: http.Header{"Authorization": {"Bearer nonsense"}}, want: "401"},
		"another scheme":     {header: http.Header{"Authorization": {"Basic dTpw"}}, want: "200"},
		"in a parameter":     {url: "?access_token=" + users.Token(good), want: "200"},
		"bad in a parameter": {url: "?access_token=" + forged.Token(good), want: "401"},
		"in a header":        {header: http.Header{"X-Partner": {partners.Token(nil)}}, want: "200"},
		"in a cookie":        {header: http.Header{"Cookie": {"partner=" + partners.Token(nil)}}, want: "200"},
		"bad in a cookie":    {header: http.Header{"Cookie": {"partner=" + strangers.Token(nil)}}, want: "401"},
		"in a wrong place":   {header: partners.Bearer(nil), want: "401"},
		"both":               {header: http.Header{"Authorization": {"Bearer " + users.Token(good)}, "X-Partner": {partners.Token(nil)}}, want: "200"},
		"the other is bad":   {header: http.Header{"Authorization": {"Bearer " + forged.Token(good)}, "X-Partner": {partners.Token(nil)}}, want: "401"},
	} {
		request := with(call, c.header)
		request.URL += c.url
		if got := outside.Call(request).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("a token that is %s got %q, want %s", name, got, c.want)
		}
	}

	spoofed := users.Bearer(good)
	spoofed.Set("X-User", "mallory")
	seen := outside.Expect(with(call, spoofed), "200").Echo().Header
	if seen.Get("x-user") != "alice" || seen.Get("x-payload") == "" || seen.Get("authorization") != "" {
		t.Errorf("the application sees %v", seen)
	}
	if seen := outside.Expect(with(call, http.Header{"X-User": {"mallory"}, "X-Payload": {"e30"}}), "200").Echo().Header; seen.Get("x-user")+seen.Get("x-payload") != "" {
		t.Errorf("without a token the application sees %v", seen)
	}
	if seen := outside.Expect(with(call, http.Header{"X-Partner": {partners.Token(nil)}}), "200").Echo().Header; seen.Get("x-partner") == "" {
		t.Error("a token that is to be forwarded is not")
	}

	// What is verified changes while connections are open.
	ownCall := Call{To: "10.96.0.1:80", URL: "http://cart.shop/"}
	ownCall.Client, call.Client = page.Client(ownCall.To, nil, false), outside.Client(call.To, nil, false)
	stopOwn, stop := page.Hammer(ownCall, "200"), outside.Hammer(call, "200")
	page.Expect(with(ownCall, strangers.Bearer(nil)), "200")
	inFront := tokensOf("cart", "shop", "app: cart", rule(strangers, ""))
	w.Apply(inFront)
	page.Expect(with(ownCall, users.Bearer(good)), "401")
	page.Expect(with(ownCall, strangers.Bearer(nil)), "200")
	for range 5 {
		w.Apply(tokensOf("users", RootNamespace, "istio: ingress", rule(strangers, "")))
		outside.Expect(with(call, users.Bearer(good)), "401")
		outside.Expect(with(call, strangers.Bearer(nil)), "200")
		w.Apply(atGateway)
		outside.Expect(with(call, users.Bearer(good)), "200")
	}
	w.Delete("RequestAuthentication", "shop", "cart")
	page.Expect(with(ownCall, users.Bearer(good)), "200")
	w.Delete("RequestAuthentication", RootNamespace, "users")
	outside.Expect(with(call, forged.Bearer(good)), "200")
	for _, stop := range []func() (int, []string){stopOwn, stop} {
		if calls, wrong := stop(); len(wrong) > 0 {
			t.Errorf("%d of %d calls failed while tokens were edited: %q", len(wrong), calls, wrong[:min(len(wrong), 5)])
		} else {
			t.Logf("%d calls while tokens were edited", calls)
		}
	}
	if problems := append(w.Problems(), w.Refused()...); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}

const byClaims = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec:
  host: cart
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [shop.example.com]
  gateways: [web]
  http:
  - match:
    - headers: {"@request.auth.claims.group": {exact: dev}}
    - headers: {"@request.auth.claims[https://example.com/org][units]": {prefix: dev}}
    - headers: {"@request.auth.claims.scope": {exact: preview}}
    route: [{destination: {host: cart, subset: v2}}]
  - match: [{uri: {prefix: /known}, withoutHeaders: {"@request.auth.claims.sub": {}}}]
    directResponse: {status: 403}
  - route: [{destination: {host: cart, subset: v1}}]
`

// TestClaims: claims of a valid token choose the route, and nothing else does.
func TestClaims(t *testing.T) {
	w := New(t)
	users := token.NewIssuer(t, "https://users.example.com")
	w.Apply(shop + "---" + byClaims)
	for _, v := range []string{"v1", "v2"} {
		w.Start(Spec{Namespace: "shop", Name: "cart-" + v, Labels: map[string]string{"app": "cart", "version": v}, Proxy: node.Sidecar}).ServeEcho(8080)
	}
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	outside := w.Start(Spec{Namespace: "other", Name: "client-1"})
	call := Call{To: ingress.At(80), URL: "http://shop.example.com/"}
	outside.Expect(call, "200 cart-v1")
	dev := call
	dev.Header = users.Bearer(token.Claims{"group": "dev"})
	outside.Expect(dev, "200 cart-v1") // nothing looks at it

	w.Apply(tokensOf("users", RootNamespace, "istio: ingress", fmt.Sprintf("{issuer: %q, jwks: '%s'}", users.Name, users.JWKS())))
	outside.Expect(dev, "200 cart-v2")
	for name, c := range map[string]struct {
		claims token.Claims
		path   string
		want   string
	}{
		"in a list":           {claims: token.Claims{"group": []string{"ops", "dev"}}, want: "200 cart-v2"},
		"of others":           {claims: token.Claims{"group": "ops"}, want: "200 cart-v1"},
		"that only begins so": {claims: token.Claims{"group": "developers"}, want: "200 cart-v1"},
		"not a text":          {claims: token.Claims{"group": map[string]any{"dev": true}}, want: "200 cart-v1"},
		"inside another":      {claims: token.Claims{"https://example.com/org": token.Claims{"units": []string{"a", "dev-1"}}}, want: "200 cart-v2"},
		"with spaces":         {claims: token.Claims{"scope": "read preview"}, want: "200 cart-v2"},
		"known":               {claims: token.Claims{}, path: "known", want: "200 cart-v1"},
		"expired":             {claims: token.Claims{"group": "dev", "exp": time.Now().Add(-time.Hour).Unix()}, want: "401"},
	} {
		request := call
		request.URL += c.path
		request.Header = users.Bearer(c.claims)
		if got := outside.Call(request).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("a claim %s got %q, want %s", name, got, c.want)
		}
	}
	unknown := call
	unknown.URL += "known"
	outside.Expect(unknown, "403")
	outside.Expect(call, "200 cart-v1")
	if problems := append(w.Problems(), w.Refused()...); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}

// TestKeysThatAreFetched: an issuer that is away keeps nobody out but those whose keys
// nobody has, and keys that were fetched stay.
func TestKeysThatAreFetched(t *testing.T) {
	w := New(t)
	users, others := token.NewIssuer(t, "https://users.example.com"), token.NewIssuer(t, "https://others.example.com")
	forged := token.NewIssuer(t, users.Name)
	idp := w.Start(Spec{Namespace: "idp", Name: "idp-1"})
	w.Apply(shop + "---" + tokensOf("users", RootNamespace, "istio: ingress",
		fmt.Sprintf("{issuer: %q, jwksUri: 'http://%s/jwks', timeout: 1s}", users.Name, idp.At(8000)),
		fmt.Sprintf("{issuer: %q, jwks: '%s'}", others.Name, others.JWKS())))
	w.Start(Spec{Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar}).ServeEcho(8080)
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	outside := w.Start(Spec{Namespace: "other", Name: "client-1"})
	call := Call{To: ingress.At(80), URL: "http://shop.example.com/"}
	with := func(h http.Header) Call { c := call; c.Header = h; return c }

	outside.Expect(call, "200 cart-1")
	outside.Expect(with(others.Bearer(nil)), "200 cart-1")
	outside.Expect(with(users.Bearer(nil)), "401")

	var asked atomic.Int32
	server := &http.Server{ReadHeaderTimeout: Patience, Handler: http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = out.Write([]byte(users.JWKS()))
	})}
	l := idp.Listen(":8000")
	go func() { _ = server.Serve(l) }()
	outside.Expect(with(users.Bearer(nil)), "200 cart-1")
	outside.Expect(with(forged.Bearer(nil)), "401")
	w.Eventually("the keys are fetched apart from requests", func() error {
		if asked.Load() == 0 {
			return errors.New("nobody asked for them")
		}
		return nil
	})
	_ = server.Close()
	for range 100 {
		outside.Expect(with(users.Bearer(nil)), "200 cart-1")
	}
	second := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-2", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	call.To = second.At(80)
	outside.Expect(call, "200 cart-1")
	outside.Expect(with(users.Bearer(nil)), "401")
	if refused := w.Refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}
