// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// logged waits for a line with all of the words in the access log of a proxy.
func logged(t *testing.T, selector string, words ...string) {
	t.Helper()
	must(t, env.Eventually(t.Context(), changeLimit, fmt.Sprintf("a line of %s with %q", selector, words), func(ctx context.Context) error {
		lines, err := cluster.LogLines(ctx, appSpace, selector, words...)
		if err == nil && len(lines) == 0 {
			err = errors.New("there is none")
		}
		return err
	}))
}

// With ten connections at most the eleventh is refused, and the log says that it
// was one too many.
func testMaxConnections(t *testing.T) {
	given(t, service("tenfold", "app: echo, version: v1", "tcp-greet:9091"),
		object("DestinationRule", "tenfold", "  {host: tenfold, trafficPolicy: {connectionPool: {tcp: {maxConnections: 10}}}}"))
	r := asked(t, "greeted://tenfold:9091", "--count=11", "--concurrency=11", "--rps=20", "--hold=3s")
	if r.Codes["200"] != 10 || len(r.Failures) != 1 {
		t.Errorf("%s, want ten answers and one refused", r)
	}
	if r = asked(t, "greeted://tenfold:9091", "--count=10", "--concurrency=10", "--hold=500ms"); r.Codes["200"] != 10 {
		t.Errorf("when the ten have gone: %s", r)
	}
	logged(t, "app=client", " UO ", "outbound|9091||tenfold.")
}

// Requests beyond what may wait are answered 503 at once, marked as an overflow.
func testPendingRequests(t *testing.T) {
	given(t, service("narrow", "app: echo, version: v1"), object("DestinationRule", "narrow", `
  host: narrow
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}`))
	r := asked(t, "http://narrow:8080/overflow?delay=500ms", "--count=12", "--concurrency=12")
	if r.Codes["200"] == 0 || r.Codes["503"] == 0 || r.Codes["200"]+r.Codes["503"] != 12 {
		t.Errorf("%s, want some answered and the others 503", r)
	}
	logged(t, "app=client", "/overflow", " 503 UO ", "outbound|8080||narrow.")
	must(t, answered(asked(t, "http://narrow:8080", "--count=20")))
}

// A rule upgrades what goes between the proxies to HTTP/2; the application is
// spoken to as before.
func testUpgrade(t *testing.T) {
	given(t, service("upgraded", "app: echo, version: v1"), service("as-before", "app: echo, version: v1"),
		object("DestinationRule", "upgraded", "  {host: upgraded, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}"),
		object("DestinationRule", "as-before", "  {host: as-before, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}}"))
	for host, protocol := range map[string]string{"upgraded": "HTTP/2", "as-before": "HTTP/1.1"} {
		if e := echoed(t, "http://"+host+":8080/"+host); e.Proto != "HTTP/1.1" {
			t.Errorf("%s: the application got %s", host, e.Proto)
		}
		logged(t, "app=echo,version=v1", `"GET /`+host+` `+protocol+`"`)
	}
}

// A pod that fails is left out after three errors, and is back after its time.
func testEjection(t *testing.T) {
	given(t, service("ejecting", "app: backend"), object("DestinationRule", "ejecting", `
  host: ejecting
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 6s, maxEjectionPercent: 100}}`),
		object("VirtualService", "ejecting", `
  hosts: [ejecting]
  http: [{retries: {attempts: 0}, route: [{destination: {host: ejecting}}]}]`))
	pods := backends(t)
	bad, well := pods[0].Name, []string{pods[1].Name, pods[2].Name}
	url := "http://ejecting:8080/?status=503&at=" + bad
	r := asked(t, url, "--count=60")
	if r.Codes["503"] < 3 || r.Codes["503"] > 12 {
		t.Errorf("%s, want at least 3 and few 503 before the pod is left out", r)
	}
	must(t, hosts(well...)(asked(t, url, "--count=40")))
	until(t, "the pod comes back", hosts(append(slices.Clone(well), bad)...), call, "http://ejecting:8080", "--count=40")
}

// What is said of a port holds in place of what is said of the host: of its other
// settings nothing is left there.
func testPortLevel(t *testing.T) {
	given(t, service("portly", "app: backend", "http:8080", "http-other:8081:8080"), object("DestinationRule", "portly", `
  host: portly
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}
    portLevelSettings:
      - port: {number: 8081}
        loadBalancer: {consistentHash: {httpHeaderName: x-user}}`))
	r := asked(t, "http://portly:8080/", "--count=90", "--header=x-user:ann")
	must(t, answered(r))
	if len(r.Hosts) != 3 {
		t.Errorf("port 8080, which goes round: answered by %v", r.Hosts)
	}
	r = asked(t, "http://portly:8081/", "--count=90", "--header=x-user:ann")
	must(t, answered(r))
	if len(r.Hosts) != 1 {
		t.Errorf("port 8081, which goes by the user: answered by %v", r.Hosts)
	}
	overflow := func(port string) int {
		return asked(t, "http://portly:"+port+"/?delay=300ms", "--count=16", "--concurrency=16", "--header=x-user:ann").Codes["503"]
	}
	if n := overflow("8080"); n == 0 {
		t.Error("port 8080 has none of the host's limits")
	}
	if n := overflow("8081"); n != 0 {
		t.Errorf("port 8081 refused %d requests by the host's limits", n)
	}
}

// Requests to a host go to its server in TLS that the proxy begins, if the server
// shows what the rule asks for.
func testOrigination(t *testing.T) {
	entry := func(name, rule string) string {
		return object("ServiceEntry", name, fmt.Sprintf(`
  hosts: [%[1]s.e2e.example]
  addresses: [192.0.2.%[2]d]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8443}]
  location: MESH_EXTERNAL
  resolution: DNS
  endpoints: [{address: outside-a.e2e-plain.svc.cluster.local}]`, name, 10+len(name))) +
			object("DestinationRule", name, fmt.Sprintf("  {host: %s.e2e.example, workloadSelector: {matchLabels: {app: asker}}, trafficPolicy: {tls: {%s}}}", name, rule))
	}
	const ca = "caCertificates: /etc/outside/ca.crt, sni: " + outsideA
	const own = ", clientCertificate: /etc/outside/tls.crt, privateKey: /etc/outside/tls.key"
	given(t, entry("tls-a", "mode: SIMPLE, "+ca+", subjectAltNames: ["+outsideA+"]"),
		entry("tls-wro", "mode: SIMPLE, "+ca+", subjectAltNames: [other.outside.example]"),
		entry("tls-mutua", "mode: MUTUAL, "+ca+", subjectAltNames: ["+outsideA+"]"+own),
		entry("tls-anybod", "mode: SIMPLE, insecureSkipVerify: true, sni: any.example"),
		entry("tls-disabled", "mode: DISABLE"))
	for _, c := range []struct{ host, server, client, failure string }{
		{"tls-a", outsideA, "", ""},
		{"tls-mutua", outsideA, "asker", ""},
		{"tls-anybod", "any.example", "", ""},
		{"tls-wro", "", "", "503"},
		{"tls-disabled", "", "", "400"},
	} {
		r, err := askerCalls(t.Context(), fmt.Sprintf("http://192.0.2.%d/", 10+len(c.host)), "--host="+c.host+".e2e.example")
		must(t, err)
		if c.failure != "" {
			if r.Codes[c.failure] != 1 {
				t.Errorf("%s: %s: %s, want %s", c.host, r, r.LastText, c.failure)
			}
			if c.failure == "503" {
				logged(t, "app=asker", c.host+".e2e.example", "CERTIFICATE_VERIFY_FAILED")
			}
			continue
		}
		if err := answered(r); err != nil {
			t.Errorf("%s: %v", c.host, err)
			continue
		}
		e, err := r.Echo()
		must(t, err)
		if e.Version != "outside-a" || e.ServerName != c.server || e.Client != c.client {
			t.Errorf("%s: %s was asked for %q by %q, want %q by %q", c.host, e.Version, e.ServerName, e.Client, c.server, c.client)
		}
	}
}

// Bytes go to a far server through a proxy that takes CONNECT, and a server that
// wants to know the client is told by a PROXY header.
func testTunnel(t *testing.T) {
	given(t, object("ServiceEntry", "far-away", `
  hosts: [far-away.e2e.example]
  addresses: [192.0.2.50]
  ports: [{number: 9091, name: tcp, protocol: TCP}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{address: 192.0.2.51}]`),
		object("ServiceEntry", "tunnel", `
  hosts: [tunnel.e2e.example]
  ports: [{number: 8080, name: tcp, protocol: TCP}]
  location: MESH_EXTERNAL
  resolution: DNS
  endpoints: [{address: outside-b.e2e-plain.svc.cluster.local}]`),
		object("DestinationRule", "tunnel", `
  host: tunnel.e2e.example
  trafficPolicy: {tunnel: {protocol: CONNECT, targetHost: outside-a.e2e-plain.svc.cluster.local, targetPort: 9091}}`),
		object("VirtualService", "far-away", `
  hosts: [far-away.e2e.example]
  tcp: [{match: [{port: 9091}], route: [{destination: {host: tunnel.e2e.example, port: {number: 8080}}}]}]`),
		object("ServiceEntry", "told", `
  hosts: [told.e2e.example]
  addresses: [192.0.2.52]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8081}]
  location: MESH_EXTERNAL
  resolution: DNS
  endpoints: [{address: outside-a.e2e-plain.svc.cluster.local}]`),
		object("DestinationRule", "told", "  {host: told.e2e.example, trafficPolicy: {proxyProtocol: {version: V2}}}"))
	r := asked(t, "greeted://192.0.2.50:9091", "--count=5")
	if r.Versions["outside-a"] != 5 {
		t.Errorf("through the tunnel: %s by %v, want outside-a", r, r.Versions)
	}
	client, err := cluster.PodOf(t.Context(), appSpace, "app=client")
	must(t, err)
	if e := echoed(t, "http://192.0.2.52/", "--host=told.e2e.example"); !strings.HasPrefix(e.Proxied, "v2 "+client.Status.PodIP+":") {
		t.Errorf("the server was told %q, want v2 and the client's address %s", e.Proxied, client.Status.PodIP)
	}
}
