// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// Each protocol is spoken through two proxies to the application as it is meant to be.
func testProtocols(t *testing.T) {
	given(t, service("spoken", "app: echo, version: v1", "http:8080", "http2:8083", "grpc:8082", "grpc-web:8084", "tcp:9090"))
	spoken := []struct {
		url, proto, log string
		args            []string
	}{
		{"http://spoken:8080/one", "HTTP/1.1", `"GET /one HTTP/1.1" 200`, nil},
		{"http://spoken:8083/two", "HTTP/2.0", `"GET /two HTTP/2" 200`, []string{"--http2"}},
		{"grpc://spoken:8082", "gRPC", `"POST /meshwright.echo.v1.Echo/Tell HTTP/2" 200`, nil},
		{"grpc-web://spoken:8084", "gRPC", `"spoken:8084"`, nil}, // the application speaks gRPC only
		{"ws://spoken:8080/chat", "HTTP/1.1", `"GET /chat HTTP/1.1" 101`, nil},
		{"tcp://spoken:9090", "", `inbound|9090||`, nil},
	}
	for _, c := range spoken {
		r := asked(t, append([]string{c.url, "--count=3"}, c.args...)...)
		if err := answered(r); err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if c.proto != "" {
			e, err := r.Echo()
			must(t, err)
			if e.Proto != c.proto || e.Version != "v1" {
				t.Errorf("%s: the application got %s (%s), want %s", c.url, e.Proto, e.Version, c.proto)
			}
		}
	}
	// The proxy writes its log now and then: once for all.
	for _, c := range spoken {
		logged(t, "app=echo,version=v1", c.log)
	}
}

// The application's own TLS passes both proxies unopened, under STRICT too.
func testOwnTLS(t *testing.T) {
	given(t, service("own", "app: peer", "https:8443"))
	e := echoed(t, "https://own:8443/", "--insecure", "--host="+peerOwn)
	if e.ServerName != peerOwn || !strings.HasPrefix(e.Host, "peer-") {
		t.Errorf("%s was asked for %q, want a pod of peer for %s", e.Host, e.ServerName, peerOwn)
	}
	r, err := callPlain(t.Context(), "https://own.e2e-app.svc.cluster.local:8443/", "--insecure", "--host="+peerOwn)
	must(t, err)
	if len(r.Codes) != 0 {
		t.Errorf("from outside of the mesh under STRICT: %s, want no answer", r)
	}
}

// A port that does not say what it carries carries what each connection begins
// with; some ports are of servers that speak first, whoever asks.
func testDetection(t *testing.T) {
	given(t, service("unsaid", "app: echo, version: v1", "one:8085", "two:9091", "three:3306:9091"))
	for _, http2 := range []string{"--http2=false", "--http2=true"} {
		e := echoed(t, "http://unsaid:8085/detected", http2)
		if want := map[string]string{"--http2=false": "HTTP/1.1", "--http2=true": "HTTP/2.0"}[http2]; e.Proto != want {
			t.Errorf("the application got %s, want %s", e.Proto, want)
		}
		if header(e, "X-Request-Id") == "" || header(e, clientCert) == "" {
			t.Errorf("%s: the proxies took the request for bytes: %v", http2, e.Headers)
		}
	}
	logged(t, "app=echo,version=v1", `"GET /detected HTTP/2" 200`)
	for _, port := range []string{"9091", "3306"} {
		r := asked(t, "greeted://unsaid:"+port, "--count=5")
		if r.Versions["v1"] != 5 {
			t.Errorf("a server that speaks first on port %s: %s", port, r)
		}
	}
}

// Pods of a StatefulSet are called by name under STRICT, and an alias is called as
// what it stands for.
func testHeadless(t *testing.T) {
	given(t, service("aliased", "app: echo"), "---\n{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: ExternalName, externalName: aliased.e2e-app.svc.cluster.local}}",
		object("VirtualService", "aliased", `
  hosts: [aliased]
  http: [{headers: {response: {set: {x-rule: aliased}}}, route: [{destination: {host: aliased}}]}]`))
	for _, pod := range []string{"peer-0", "peer-1"} {
		until(t, pod+" by HTTP", hosts(pod), call, "http://"+pod+".peer:8080", "--count=10")
		must(t, hosts(pod)(asked(t, "http://"+pod+".peer.e2e-app.svc.cluster.local:8080", "--count=10")))
		must(t, hosts(pod)(asked(t, "greeted://"+pod+".peer:9091", "--count=10")))
		peer, err := identity(echoed(t, "http://"+pod+".peer:8080"))
		must(t, err)
		if peer != clientSPIFFE {
			t.Errorf("%s was called by %s", pod, peer)
		}
	}
	must(t, hosts("peer-0", "peer-1")(asked(t, "http://peer:8080", "--count=40")))
	r, err := callPlain(t.Context(), "http://peer-0.peer.e2e-app.svc.cluster.local:8080", "--keep-alive=false")
	must(t, err)
	if len(r.Codes) != 0 {
		t.Errorf("plaintext under STRICT: %s", r)
	}
	r = asked(t, "http://alias:8080", "--count=5")
	if err := answered(r); err != nil || r.LastHeaders.Get("X-Rule") != "aliased" {
		t.Errorf("the alias: %v, rule %q", err, r.LastHeaders.Get("X-Rule"))
	}
}

// Paths are made plain before any rule compares them.
func testNormalization(t *testing.T) {
	given(t, service("plainly", "app: echo"), object("VirtualService", "plainly", `
  hosts: [plainly]
  http:
    - {match: [{uri: {prefix: /secret}}], directResponse: {status: 403}}
    - {route: [{destination: {host: plainly}}]}`))
	for path, want := range map[string]string{
		"/open": "200 /open", "/secret/a": "403 ", "/open/../secret/a": "403 ", "/open/%2e%2e/secret/a": "403 ", "/open/./a/../b": "200 /open/b",
	} {
		r := asked(t, "http://plainly:8080"+path)
		e := env.Echo{}
		if len(r.Last) > 0 {
			var err error
			e, err = r.Echo()
			must(t, err)
		}
		got := ""
		for code := range r.Codes {
			got = code + " " + e.Path
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// What a pod says goes before a ProxyConfig of its workload, that before one of its
// namespace, and that before what holds for the mesh.
func testProxyConfigOrder(t *testing.T) {
	given(t, object("ProxyConfig", "order-all", "  {concurrency: 2, environmentVariables: {E2E_OF: namespace, E2E_KEPT: namespace}}"),
		object("ProxyConfig", "order-some", "  {selector: {matchLabels: {order: some}}, concurrency: 3, environmentVariables: {E2E_OF: workload}}"))
	type want struct{ concurrency, of, kept string }
	pod := func(labels, annotations map[string]string) (want, error) {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "order", Labels: labels, Annotations: annotations},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: cluster.Registry + "/echo:" + cluster.Tag}}},
		}
		// What would become of it says the API server; nothing has to run.
		p, err := cluster.Kube.CoreV1().Pods(appSpace).Create(t.Context(), p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return want{}, err
		}
		proxy, _ := env.Sidecar(p)
		var got want
		for _, a := range proxy.Args {
			if v, ok := strings.CutPrefix(a, "--concurrency="); ok {
				got.concurrency = v
			}
		}
		value := func(name string) string {
			if i := slices.IndexFunc(proxy.Env, func(e corev1.EnvVar) bool { return e.Name == name }); i >= 0 {
				return proxy.Env[i].Value
			}
			return ""
		}
		got.of, got.kept = value("E2E_OF"), value("E2E_KEPT")
		return got, nil
	}
	some := map[string]string{"order": "some"}
	own := map[string]string{"proxy.istio.io/config": `{"concurrency": 4, "proxyMetadata": {"E2E_OF": "pod"}}`}
	for _, c := range []struct {
		what                string
		labels, annotations map[string]string
		want                want
	}{
		{"of the namespace", nil, nil, want{"2", "namespace", "namespace"}},
		{"of the workload", some, nil, want{"3", "workload", "namespace"}},
		{"of the pod", some, own, want{"4", "pod", "namespace"}},
	} {
		must(t, env.Eventually(t.Context(), changeLimit, "a proxy with the settings "+c.what, func(context.Context) error {
			got, err := pod(c.labels, c.annotations)
			if err == nil && got != c.want {
				err = fmt.Errorf("it has %+v, want %+v", got, c.want)
			}
			return err
		}))
	}
}
