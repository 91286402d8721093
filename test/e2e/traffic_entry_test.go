// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// askerCalls sends requests from the pod whose names are resolved by its proxy.
func askerCalls(ctx context.Context, args ...string) (env.Report, error) {
	return cluster.Call(ctx, appSpace, "app=asker", "echo", args...)
}

var serviceEntry = env.VirtualService.GroupVersion().WithKind("ServiceEntry")

// database is a host of bytes on port 3306 without an address.
func database(name, server string) string {
	return object("ServiceEntry", name, fmt.Sprintf(`
  hosts: [%s.e2e.example]
  ports: [{number: 3306, name: tcp, protocol: TCP, targetPort: 9091}]
  location: MESH_EXTERNAL
  resolution: DNS
  endpoints: [{address: %s.e2e-plain.svc.cluster.local}]`, name, server))
}

// Two hosts of bytes on one port get addresses of their own, which the proxy's
// name server tells though no other knows the names.
func testAddressesOfEntries(t *testing.T) {
	given(t, database("db-a", "outside-a"), database("db-b", "outside-b"))
	seen := map[string]bool{}
	for name, server := range map[string]string{"db-a": "outside-a", "db-b": "outside-b"} {
		r := until(t, name, answered, askerCalls, "greeted://"+name+".e2e.example:3306", "--count=5")
		if r.Versions[server] != 5 {
			t.Errorf("%s was answered by %v, want %s", name, r.Versions, server)
		}
		address := allocated(t, name)
		if seen[address] {
			t.Errorf("both have the address %s", address)
		}
		seen[address] = true
	}
	// The client beside it asks the cluster's name server, which knows neither.
	if r := asked(t, "greeted://db-a.e2e.example:3306"); !strings.Contains(fmt.Sprint(r.Errors), "no such host") {
		t.Errorf("without the proxy's name server: %s", r)
	}
}

// allocated waits for the IPv4 address in a ServiceEntry's status.
func allocated(t *testing.T, name string) string {
	t.Helper()
	var address string
	must(t, env.Eventually(t.Context(), changeLimit, "the address of "+name, func(ctx context.Context) error {
		u, err := cluster.Get(ctx, serviceEntry, appSpace, name)
		if err != nil {
			return err
		}
		list, _, _ := unstructured.NestedSlice(u.Object, "status", "addresses")
		for _, item := range list {
			m, _ := item.(map[string]any)
			value, _ := m["value"].(string)
			if a, err := netip.ParseAddr(value); err == nil && a.Is4() {
				address = value
				return nil
			}
		}
		return fmt.Errorf("its status has %v", list)
	}))
	return address
}

// A host of the outside is served by its rules and its name; how its servers are
// found is the same to the client.
func testEntries(t *testing.T) {
	outside, err := cluster.PodOf(t.Context(), plainSpace, "app=outside-a")
	must(t, err)
	entry := func(name, rest string) string {
		return object("ServiceEntry", name, fmt.Sprintf(`
  hosts: [%s.e2e.example]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  location: MESH_EXTERNAL
  %s`, name, rest))
	}
	given(t, entry("entry-static", "resolution: STATIC\n  endpoints: [{address: "+outside.Status.PodIP+"}]"),
		entry("entry-dns", "resolution: DNS\n  endpoints: [{address: outside-a.e2e-plain.svc.cluster.local}]"),
		entry("entry-round", "resolution: DNS_ROUND_ROBIN\n  endpoints: [{address: outside-a.e2e-plain.svc.cluster.local}]"),
		entry("entry-none", "resolution: NONE"),
		object("VirtualService", "entry-static", `
  hosts: [entry-static.e2e.example]
  http: [{headers: {request: {set: {x-rule: entry}}}, route: [{destination: {host: entry-static.e2e.example}}]}]`))
	for name, rule := range map[string]string{"entry-static": "entry", "entry-dns": "", "entry-round": "", "entry-none": ""} {
		r := asked(t, "http://"+outside.Status.PodIP+":8080", "--host="+name+".e2e.example", "--count=5")
		must(t, answered(r))
		e, err := r.Echo()
		must(t, err)
		if e.Version != "outside-a" || header(e, "X-Rule") != rule {
			t.Errorf("%s was answered by %s with x-rule %q", name, e.Version, header(e, "X-Rule"))
		}
	}
}

// Names under a pattern lead to where the cluster's name server says at the time of the
// call, by requests and by TLS, whatever address the client meant.
func testDynamicNames(t *testing.T) {
	given(t, object("ServiceEntry", "dynamic", `
  hosts: ["*.e2e-plain.pod.cluster.local"]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS`))
	for _, server := range []string{"outside-a", "outside-b"} {
		pod, err := cluster.PodOf(t.Context(), plainSpace, "app="+server)
		must(t, err)
		name := strings.NewReplacer(".", "-", ":", "-").Replace(pod.Status.PodIP) + ".e2e-plain.pod.cluster.local"
		// Nobody is at the address; that of the name is what counts.
		r := until(t, name, answered, call, "http://192.0.2.1:8080", "--host="+name, "--count=5")
		if r.Versions[server] != 5 {
			t.Errorf("%s was answered by %v, want %s", name, r.Versions, server)
		}
	}
	r := asked(t, "http://192.0.2.1:8080", "--host=127-0-0-1.e2e-plain.pod.cluster.local")
	if r.Codes["503"] == 0 {
		t.Errorf("a name that leads into the pod itself: %s", r)
	}
}

// clustersOf counts the outbound clusters that a pod's proxy holds, and says
// whether the dump names each of the hosts.
func clustersOf(ctx context.Context, selector string, hosts ...string) (count int, named []bool, err error) {
	var dump struct {
		Configs []struct {
			Cluster struct {
				Name string `json:"name"`
			} `json:"cluster"`
		} `json:"configs"`
	}
	if err := cluster.ProxyPage(ctx, appSpace, selector, "/config_dump?resource=dynamic_active_clusters&mask=cluster.name", &dump); err != nil {
		return 0, nil, err
	}
	named = make([]bool, len(hosts))
	for _, c := range dump.Configs {
		if strings.HasPrefix(c.Cluster.Name, "outbound|") {
			count++
		}
		for i, h := range hosts {
			named[i] = named[i] || strings.Contains(c.Cluster.Name, "|"+h)
		}
	}
	return count, named, nil
}

// A Sidecar leaves its workload what it lists, at the ports for which it does, and nothing
// else.
func testListedHosts(t *testing.T) {
	wide, named, err := clustersOf(t.Context(), "app=scoped", "echo.e2e-app.svc", "backend.e2e-app.svc")
	must(t, err)
	if wide < 6 || !named[0] || !named[1] {
		t.Fatalf("before: %d clusters, echo and backend: %v", wide, named)
	}
	given(t, object("Sidecar", "scoped", "  {workloadSelector: {labels: {app: scoped}}, egress: [{hosts: [./echo.e2e-app.svc.cluster.local]}]}"))
	narrow, named, err := clustersOf(t.Context(), "app=scoped", "echo.e2e-app.svc", "backend.e2e-app.svc")
	must(t, err)
	// Envoy takes a removed cluster out of its dump at once; echo has two ports.
	if narrow != 2 || !named[0] || named[1] {
		t.Errorf("%d clusters (%d before), echo and backend: %v; want the two ports of echo", narrow, wide, named)
	}
	r, err := cluster.Call(t.Context(), appSpace, "app=scoped", "echo", echoURL, "--count=5")
	must(t, err)
	must(t, answered(r))
	given(t, object("Sidecar", "scoped", `
  workloadSelector: {labels: {app: scoped}}
  egress:
  - {port: {number: 8080, protocol: HTTP, name: http}, hosts: [./echo.e2e-app.svc.cluster.local]}`))
	narrow, named, err = clustersOf(t.Context(), "app=scoped", "echo.e2e-app.svc", "backend.e2e-app.svc")
	must(t, err)
	if narrow != 1 || !named[0] || named[1] {
		t.Errorf("%d clusters, echo and backend: %v; want one port of echo", narrow, named)
	}
	r, err = cluster.Call(t.Context(), appSpace, "app=scoped", "echo", echoURL, "--count=5")
	must(t, err)
	must(t, answered(r))
	listedRoutes(t)
}

// listedRoutes wants routes of another namespace to count for a workload as soon as its
// Sidecar lists that namespace, and for workloads without a Sidecar in any case.
func listedRoutes(t *testing.T) {
	t.Helper()
	scoped := func(ctx context.Context, args ...string) (env.Report, error) {
		return cluster.Call(ctx, appSpace, "app=scoped", "echo", args...)
	}
	ruled := func(r env.Report) error {
		if r.Codes["418"] != r.Requests {
			return fmt.Errorf("got %s", r)
		}
		return nil
	}
	given(t, service("ruled", "app: echo"), object("Sidecar", "scoped", `
  workloadSelector: {labels: {app: scoped}}
  egress: [{hosts: [./ruled.e2e-app.svc.cluster.local]}]`), `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ruled, namespace: `+otherSpace+`}
spec:
  hosts: [ruled.e2e-app.svc.cluster.local]
  exportTo: [`+appSpace+`]
  http: [{directResponse: {status: 418}}]
`)
	until(t, "418 by routes of another namespace", ruled, call, "http://ruled:8080", "--count=5")
	until(t, "200, as they do not count here", answered, scoped, "http://ruled:8080", "--count=5")
	given(t, object("Sidecar", "scoped", `
  workloadSelector: {labels: {app: scoped}}
  egress: [{hosts: [./ruled.e2e-app.svc.cluster.local, `+otherSpace+`/*]}]`))
	until(t, "418, as they count now", ruled, scoped, "http://ruled:8080", "--count=5")
}

// A Sidecar says where the application is: at a Unix socket, and at a port that only the
// pod itself gets to. What comes there came by the mesh's TLS. Ports that it does not list
// are reached as ever.
func testIngressListeners(t *testing.T) {
	given(t, service("doors", "app: doors", "http:8080", "http-loopback:8081:7081", "tcp:9090"))
	until(t, "503, as the application does not listen there", func(r env.Report) error {
		if r.Codes["503"] != 1 {
			return fmt.Errorf("got %s", r)
		}
		return nil
	}, call, "http://doors:8080")
	given(t, object("Sidecar", "doors", `
  workloadSelector: {labels: {app: doors}}
  ingress:
  - {port: {number: 8080, protocol: HTTP, name: http}, defaultEndpoint: "unix://@echo"}
  - {port: {number: 7081, protocol: HTTP, name: http-loopback}, defaultEndpoint: "127.0.0.1:8070"}`))
	for url, isThere := range map[string]func(remote string) bool{
		"http://doors:8080": func(remote string) bool { return !strings.Contains(remote, ":") },
		"http://doors:8081": func(remote string) bool { return strings.HasPrefix(remote, "127.0.0.1:") },
	} {
		e, err := until(t, url, answered, call, url, "--count=5").Echo()
		must(t, err)
		if e.Version != "doors" || !isThere(e.Remote) || len(e.Headers[clientCert]) == 0 {
			t.Errorf("%s was answered by %s, called from %q, with the certificate %q", url, e.Version, e.Remote, e.Headers[clientCert])
		}
	}
	must(t, answered(asked(t, "tcp://doors:9090", "--count=5")))
}

// A change of 1,000 endpoints reaches a proxy within 5 s and touches nothing but
// these endpoints. It runs alone: other cases change what is counted here.
func testManyEndpoints(t *testing.T) {
	given(t, service("thousand", ""))
	pods := backends(t)
	must(t, setEndpoints(t.Context(), "thousand", endpoint{pod: pods[0], node: pods[0].Spec.NodeName, ready: true}))
	until(t, "the first endpoint", hosts(pods[0].Name), call, "http://thousand:8080")
	known := func(ctx context.Context) (int, error) {
		var page struct {
			Statuses []struct {
				Name  string `json:"name"`
				Hosts []any  `json:"host_statuses"`
			} `json:"cluster_statuses"`
		}
		if err := cluster.ProxyPage(ctx, appSpace, "app=client", "/clusters?format=json", &page); err != nil {
			return 0, err
		}
		for _, c := range page.Statuses {
			if strings.HasPrefix(c.Name, "outbound|8080||thousand.") {
				return len(c.Hosts), nil
			}
		}
		return 0, errors.New("the proxy does not have the cluster")
	}
	updates := func() map[string]float64 {
		stats, err := cluster.Stats(t.Context(), appSpace, "app=client", `(cds|lds)\.update_success$`)
		must(t, err)
		if len(stats) < 2 {
			t.Fatalf("the proxy counts %v", stats)
		}
		return stats
	}
	before := updates()
	many := []endpoint{{pod: pods[0], node: pods[0].Spec.NodeName, ready: true}}
	for i := range 999 {
		var far corev1.Pod
		far.Status.PodIP = netip.AddrFrom4([4]byte{198, 51, byte(100 + i/250), byte(1 + i%250)}).String()
		many = append(many, endpoint{pod: far, node: pods[0].Spec.NodeName, ready: true})
	}
	begin := time.Now()
	must(t, setEndpoints(t.Context(), "thousand", many...))
	must(t, env.Eventually(t.Context(), 5*time.Second, "1,000 endpoints in the client's proxy", func(ctx context.Context) error {
		n, err := known(ctx)
		if err == nil && n != 1000 {
			err = fmt.Errorf("it has %d", n)
		}
		return err
	}))
	t.Logf("after %s", time.Since(begin).Round(time.Millisecond))
	for name, n := range updates() {
		if n != before[name] {
			t.Errorf("%s went from %.0f to %.0f: more was sent than endpoints", name, before[name], n)
		}
	}
}
