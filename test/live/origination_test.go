// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

const banks = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: banks, namespace: shop}
spec:
  hosts: [bank.example.com, other.example.com]
  resolution: STATIC
  ports: [{number: 80, targetPort: 8443, name: http, protocol: HTTP}]
  endpoints: [{address: BANK}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: banks, namespace: shop}
spec: {host: "*.example.com", trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}, tls: {mode: MODE, credentialName: bank}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: banks-clerk, namespace: shop}
spec: {host: "*.example.com", workloadSelector: {matchLabels: {app: clerk}}, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}, tls: {mode: MODE, credentialName: bank}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: exit, namespace: shop}
spec: {selector: {istio: exit}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: banks, namespace: shop}
spec:
  hosts: ["*.example.com"]
  gateways: [exit]
  http: [{match: [{authority: {exact: bank.example.com}}], route: [{destination: {host: bank.example.com}}]}, {route: [{destination: {host: other.example.com}}]}]
`

// TestOrigination begins TLS with keys and roots of Secrets, at a gateway and in a
// sidecar that a rule selects. The name of the request is what the server is asked for
// and checked by. A Secret that comes, is renewed or is replaced by wrong roots has its
// effect without any other change.
func TestOrigination(t *testing.T) {
	w := New(t)
	servers, clients := NewAuthority(t, "servers"), NewAuthority(t, "clients")
	bank := w.Start(Spec{Namespace: "outside", Name: "bank-1"})
	bank.serveMutual(8443, servers.Issue(Leaf{DNS: []string{"bank.example.com"}}), clients)
	w.Apply(strings.NewReplacer("BANK", bank.IP().String(), "MODE", "MUTUAL").Replace(banks))
	exit := w.Start(Spec{Namespace: RootNamespace, Name: "exit-1", Labels: map[string]string{"istio": "exit"}, Proxy: node.Router})
	clerk := w.Start(Spec{Namespace: "shop", Name: "clerk-1", Labels: map[string]string{"app": "clerk"}, Proxy: node.Sidecar})
	outside := w.Start(Spec{Namespace: "outside", Name: "client-1"})
	through := Call{To: exit.At(80), URL: "http://bank.example.com/"}
	direct := Call{To: bank.At(80), URL: "http://bank.example.com/"}
	outside.Expect(through, "503")
	clerk.Expect(direct, "503")

	secret := clients.Issue(Leaf{DNS: []string{"first"}}).Secret()
	secret["ca.crt"] = servers.PEM()
	for _, namespace := range []string{RootNamespace, "shop"} {
		w.Secret(namespace, "bank", secret)
	}
	for who, call := range map[*Pod]Call{outside: through, clerk: direct} {
		got := who.Expect(call, "200 bank-1").Echo()
		if got.Header.Get("X-Sni") != "bank.example.com" || got.Header.Get("X-Client") != "first" {
			t.Errorf("%s: the server was asked for %q by %q", who.Name, got.Header.Get("X-Sni"), got.Header.Get("X-Client"))
		}
		other := call
		other.URL = "http://other.example.com/"
		who.Expect(other, "503") // the server has no certificate of that name
	}
	secret = clients.Issue(Leaf{DNS: []string{"second"}}).Secret()
	secret["ca.crt"] = servers.PEM()
	w.Secret(RootNamespace, "bank", secret)
	w.Eventually("the renewed certificate is shown", func() error {
		if got := outside.Call(through).Echo().Header.Get("X-Client"); got != "second" {
			return fmt.Errorf("the server saw %q", got)
		}
		return nil
	})
	w.Secret(RootNamespace, "bank-cacert", map[string][]byte{"ca.crt": clients.PEM()})
	outside.Expect(through, "503") // roots that the server is not of
	clerk.Expect(direct, "200 bank-1")
	if refused := w.Refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}

// serveMutual is an application's own TLS for clients of an authority. What the client
// asked for, and its name, are noted in the request.
func (p *Pod) serveMutual(port uint16, pair Pair, clients *Authority) {
	p.world.t.Helper()
	l := p.Listen(fmt.Sprintf(":%d", port))
	server := &http.Server{
		TLSConfig:         &tls.Config{Certificates: pair.TLS(), ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool()},
		ReadHeaderTimeout: Patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("x-pod", p.Name)
			r.Header.Set("X-Sni", r.TLS.ServerName)
			r.Header.Set("X-Client", r.TLS.PeerCertificates[0].DNSNames[0])
			_ = json.NewEncoder(w).Encode(Echo{Pod: p.Name, Host: r.Host, Header: r.Header})
		}),
	}
	go func() { _ = server.ServeTLS(l, "", "") }()
	p.world.t.Cleanup(func() { _ = server.Close() })
}
