// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applydiscoveryv1 "k8s.io/client-go/applyconfigurations/discovery/v1"

	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// backends are the pods that most cases of load balancing share.
func backends(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := cluster.Kube.CoreV1().Pods(appSpace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=backend"})
	must(t, err)
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if len(pods) != 3 {
		t.Fatalf("%d pods of backend, want 3", len(pods))
	}
	return pods
}

// Of three pods one takes long to answer. Who goes round gives it a third of the
// requests; least requests, which is what holds when nobody says anything, far less.
func testAlgorithms(t *testing.T) {
	given(t, service("usual", "app: backend"), service("round", "app: backend"), service("random", "app: backend"), service("least", "app: backend"),
		object("DestinationRule", "round", "  {host: round, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}"),
		object("DestinationRule", "random", "  {host: random, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"),
		object("DestinationRule", "least", "  {host: least, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}}"))
	slow := backends(t)[0].Name
	share := func(host string) float64 {
		// Two requests in flight at a time would not tell the two apart.
		r := asked(t, "http://"+host+":8080/?delay=200ms&at="+slow, "--count=240", "--concurrency=12", "--timeout=30s")
		must(t, answered(r))
		return float64(r.Hosts[slow]) / 240
	}
	for host, want := range map[string][2]float64{"usual": {0, 0.24}, "least": {0, 0.24}, "round": {0.31, 0.36}, "random": {0.23, 0.44}} {
		if got := share(host); got < want[0] || got > want[1] {
			t.Errorf("%s gave %.0f %% to the slow pod, want %.0f to %.0f", host, 100*got, 100*want[0], 100*want[1])
		}
	}
	r := asked(t, "http://round:8080", "--count=300")
	must(t, answered(r))
	for pod, n := range r.Hosts {
		if n < 99 || n > 101 || len(r.Hosts) != 3 {
			t.Errorf("one connection after the other: %s got %d of 300, want 100", pod, n)
		}
	}
}

// A key goes to one pod, and keys go to several.
func testConsistentHash(t *testing.T) {
	rule := func(host, hash string) string {
		return service(host, "app: backend") + object("DestinationRule", host, "  {host: "+host+", trafficPolicy: {loadBalancer: {consistentHash: {"+hash+"}}}}")
	}
	given(t, rule("hash-header", "httpHeaderName: x-user"), rule("hash-maglev", "httpHeaderName: x-user, maglev: {tableSize: 251}"),
		rule("hash-ring", "httpHeaderName: x-user, ringHash: {minimumRingSize: 512}"),
		rule("hash-cookie", "httpCookie: {name: user, ttl: 0s}"), rule("hash-query", "httpQueryParameterName: user"), rule("hash-source", "useSourceIp: true"))
	for _, c := range []struct{ host, path, header string }{
		{"hash-header", "/", "x-user:%s"},
		{"hash-maglev", "/", "x-user:%s"},
		{"hash-ring", "/", "x-user:%s"},
		{"hash-cookie", "/", "cookie:user=%s"},
		{"hash-query", "/?user=%s", ""},
		{"hash-source", "/", ""},
	} {
		ask := func(key string, count int) env.Report {
			url, header := "http://"+c.host+":8080"+c.path, c.header
			args := []string{fmt.Sprintf("--count=%d", count), "--concurrency=4"}
			if header != "" {
				args = append(args, "--header="+fmt.Sprintf(header, key))
			} else if c.host == "hash-query" {
				url = fmt.Sprintf(url, key)
			}
			r := asked(t, append([]string{url}, args...)...)
			must(t, answered(r))
			return r
		}
		for _, key := range []string{"ann", "bob"} {
			if r := ask(key, 100); len(r.Hosts) != 1 {
				t.Errorf("%s: the key %s went to %v, want one pod", c.host, key, r.Hosts)
			}
		}
		if r := ask("{n}", 60); c.host != "hash-source" && len(r.Hosts) != 3 {
			t.Errorf("%s: 60 keys went to %v, want all three pods", c.host, r.Hosts)
		}
	}
	// A client without the cookie gets one of a session, and with that it comes back.
	r := asked(t, "http://hash-cookie:8080")
	must(t, answered(r))
	cookie, _, _ := strings.Cut(r.LastHeaders.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "user=") || strings.Contains(r.LastHeaders.Get("Set-Cookie"), "Max-Age") {
		t.Fatalf("the cookie %q is none of a session", r.LastHeaders.Get("Set-Cookie"))
	}
	first := slices.Collect(maps.Keys(r.Hosts))
	must(t, hosts(first...)(asked(t, "http://hash-cookie:8080", "--count=100", "--header=cookie:"+cookie)))
}

// endpoint is one of a Service whose endpoints a test writes itself. A pod without a
// name is an address and no more.
type endpoint struct {
	pod     corev1.Pod
	node    string
	ready   bool
	leaving bool // it still serves
}

// setEndpoints writes an EndpointSlice of a Service: all it has, unless the Service selects pods.
func setEndpoints(ctx context.Context, service string, endpoints ...endpoint) error {
	slice := applydiscoveryv1.EndpointSlice(service, appSpace).WithAddressType(discoveryv1.AddressTypeIPv4).
		WithLabels(map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: env.FieldManager}).
		WithPorts(applydiscoveryv1.EndpointPort().WithName("http").WithProtocol(corev1.ProtocolTCP).WithPort(8080))
	for _, e := range endpoints {
		one := applydiscoveryv1.Endpoint().WithAddresses(e.pod.Status.PodIP).WithNodeName(e.node).
			WithConditions(applydiscoveryv1.EndpointConditions().WithReady(e.ready).WithServing(e.ready || e.leaving).WithTerminating(e.leaving))
		if e.pod.Name != "" {
			one.WithTargetRef(applycorev1.ObjectReference().WithKind("Pod").WithNamespace(appSpace).WithName(e.pod.Name))
		}
		slice.WithEndpoints(one)
	}
	_, err := cluster.Kube.DiscoveryV1().EndpointSlices(appSpace).Apply(ctx, slice, metav1.ApplyOptions{FieldManager: env.FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write the endpoints of %s: %w", service, err)
	}
	return nil
}

// A server that comes gets little at first. The two that are warm share the rest.
func testWarmup(t *testing.T) {
	const window = 24 * time.Second
	given(t, service("warm", ""), object("DestinationRule", "warm", `
  host: warm
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 24s, minimumPercent: 10, aggression: 1}}}`))
	pods := backends(t)
	node := pods[0].Spec.NodeName
	old := []endpoint{{pod: pods[0], node: node, ready: true}, {pod: pods[1], node: node, ready: true}}
	must(t, setEndpoints(t.Context(), "warm", old...))
	until(t, "the first two", hosts(pods[0].Name, pods[1].Name), call, "http://warm:8080", "--count=40")
	// Where all are new, none is warmer than the other.
	time.Sleep(window)
	must(t, setEndpoints(t.Context(), "warm", append(old, endpoint{pod: pods[2], node: node, ready: true})...))
	r := until(t, "the third", func(r env.Report) error {
		if err := answered(r); err != nil {
			return err
		}
		if r.Hosts[pods[2].Name] == 0 {
			return fmt.Errorf("it got nothing: %v", r.Hosts)
		}
		return nil
	}, call, "http://warm:8080", "--count=300")
	if got := r.Hosts[pods[2].Name]; got >= 50 {
		t.Errorf("the new pod got %d of the first 300 requests, want less than half of its share of 100", got)
	}
	t.Logf("the new pod got %d of 300", r.Hosts[pods[2].Name])
}

// hosts wants every request answered, and by all of the pods and no other.
func hosts(pods ...string) func(env.Report) error {
	want := map[string]bool{}
	for _, p := range pods {
		want[p] = true
	}
	return func(r env.Report) error {
		if err := answered(r); err != nil {
			return err
		}
		got := slices.Sorted(maps.Keys(r.Hosts))
		if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			return fmt.Errorf("answered by %v, want %v", r.Hosts, pods)
		}
		return nil
	}
}

// farNode makes a node of another zone of the cluster's region, which no pod runs
// on: it says where an endpoint is.
func farNode(t *testing.T, near string) (region, zone, far string) {
	t.Helper()
	n, err := cluster.Kube.CoreV1().Nodes().Get(t.Context(), near, metav1.GetOptions{})
	must(t, err)
	region, zone = n.Labels[corev1.LabelTopologyRegion], n.Labels[corev1.LabelTopologyZone]
	if zone == "" {
		t.Fatalf("node %s has no zone", near)
	}
	far = "e2e-far"
	node := applycorev1.Node(far).WithLabels(map[string]string{corev1.LabelTopologyRegion: region, corev1.LabelTopologyZone: far}).
		WithSpec(applycorev1.NodeSpec().WithUnschedulable(true))
	_, err = cluster.Kube.CoreV1().Nodes().Apply(t.Context(), node, metav1.ApplyOptions{FieldManager: env.FieldManager, Force: true})
	must(t, err)
	t.Cleanup(func() {
		if err := cluster.Kube.CoreV1().Nodes().Delete(context.Background(), far, metav1.DeleteOptions{}); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return region, zone, far
}

// Requests stay in the client's zone, leave it while nothing there is ready or what
// is there fails, and come back. Zones of a distribution get what it says, and a
// Service may prefer its zone by itself.
func testNearness(t *testing.T) {
	pods := backends(t)
	region, zone, far := farNode(t, pods[0].Spec.NodeName)
	near := endpoint{pod: pods[0], node: pods[0].Spec.NodeName, ready: true}
	away := endpoint{pod: pods[1], node: far, ready: true}
	given(t, service("near", ""), service("spread", ""), service("prefer", ""),
		object("DestinationRule", "near", `
  host: near
  trafficPolicy:
    loadBalancer: {localityLbSetting: {enabled: true}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 4s, maxEjectionPercent: 100}`),
		object("DestinationRule", "spread", fmt.Sprintf(`
  host: spread
  trafficPolicy:
    loadBalancer: {localityLbSetting: {distribute: [{from: "%[1]s/%[2]s/*", to: {"%[1]s/%[2]s/*": 80, "%[1]s/%[3]s/*": 20}}]}}`, region, zone, far)))
	prefer, err := cluster.Kube.CoreV1().Services(appSpace).Get(t.Context(), "prefer", metav1.GetOptions{})
	must(t, err)
	same := corev1.ServiceTrafficDistributionPreferSameZone
	prefer.Spec.TrafficDistribution = &same
	_, err = cluster.Kube.CoreV1().Services(appSpace).Update(t.Context(), prefer, metav1.UpdateOptions{})
	must(t, err)
	for _, s := range []string{"near", "spread", "prefer"} {
		must(t, setEndpoints(t.Context(), s, near, away))
	}
	stay := func(what string, pod string) {
		t.Helper()
		until(t, what, hosts(pod), call, "http://near:8080", "--count=60")
	}
	stay("calls stay in the zone", pods[0].Name)
	near.ready = false
	must(t, setEndpoints(t.Context(), "near", near, away))
	stay("calls leave a zone without a ready pod", pods[1].Name)
	near.ready = true
	must(t, setEndpoints(t.Context(), "near", near, away))
	stay("calls come back", pods[0].Name)
	// The near pod answers 503; its clients try again elsewhere once it is ejected.
	until(t, "calls leave a zone that fails", hosts(pods[1].Name), call, "http://near:8080/?status=503&at="+pods[0].Name, "--count=20")
	stay("calls come back to a zone that is well", pods[0].Name)

	until(t, "Service prefer", hosts(pods[0].Name), call, "http://prefer:8080", "--count=100")
	r := asked(t, "http://spread:8080", "--count=500", "--concurrency=4")
	must(t, answered(r))
	if n := r.Hosts[pods[0].Name]; n < 360 || n > 440 {
		t.Errorf("the client's zone got %d of 500, want 80 %% within 8 points", n)
	}
	balanceByZones(t, near, away, pods)
}

// balanceByZones: half of the requests leave a zone that has all of the clients and
// half of the servers; none does as soon as the clients are spread as the servers are.
func balanceByZones(t *testing.T, near, away endpoint, pods []corev1.Pod) {
	t.Helper()
	given(t, service("zones", ""), service("callers", "app: client"), object("DestinationRule", "zones", `
  host: zones
  trafficPolicy: {loadBalancer: {zoneAwareLbSetting: {enabled: true, minClusterSize: 2}}}`))
	must(t, setEndpoints(t.Context(), "zones", near, away))
	until(t, "clients of one zone use the servers of both", func(r env.Report) error {
		if err := answered(r); err != nil {
			return err
		}
		if n := r.Hosts[near.pod.Name]; n < 80 || n > 120 {
			return fmt.Errorf("the client's zone got %d of 200, want 50 %% within 10 points", n)
		}
		return nil
	}, call, "http://zones:8080", "--count=200")
	var callers []endpoint
	for _, p := range pods {
		callers = append(callers, endpoint{pod: p, node: away.node, ready: true})
	}
	must(t, setEndpoints(t.Context(), "callers", callers...))
	until(t, "clients of two zones each stay in theirs", func(r env.Report) error {
		if err := answered(r); err != nil {
			return err
		}
		if n := r.Hosts[near.pod.Name]; n <= 190 {
			return fmt.Errorf("the client's zone got %d of 200, want more than 95 %%", n)
		}
		return nil
	}, call, "http://zones:8080", "--count=200")
	near.ready = false
	must(t, setEndpoints(t.Context(), "zones", near, away))
	until(t, "calls leave a zone without servers", hosts(away.pod.Name), call, "http://zones:8080", "--count=60")
}

// A client that sends its cookie, or header, back stays at one pod, also while that
// is going away, and moves when it is gone. It gets to no pod that the Service does
// not have, whatever it sends.
func testSessions(t *testing.T) {
	sticky := func(name, label string) string {
		return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %s, labels: {%s}}, spec: {ports: [{name: http, port: 8080}]}}\n", name, label)
	}
	given(t, sticky("stay-cookie", "istio.io/persistent-session: at"), sticky("stay-header", "istio.io/persistent-session-header: x-at"))
	pods := backends(t)
	for _, name := range []string{"stay-cookie", "stay-header"} {
		set := func(leaving string, among ...corev1.Pod) {
			t.Helper()
			var all []endpoint
			for _, p := range among {
				all = append(all, endpoint{pod: p, node: p.Spec.NodeName, ready: p.Name != leaving, leaving: p.Name == leaving})
			}
			must(t, setEndpoints(t.Context(), name, all...))
		}
		url := "http://" + name + ":8080"
		set("", pods[:2]...)
		r := until(t, name, hosts(pods[0].Name, pods[1].Name), call, url, "--count=40")
		mine, at := "--header=x-at:"+r.LastHeaders.Get("X-At"), "x-at:"
		if name == "stay-cookie" {
			cookie, _, _ := strings.Cut(r.LastHeaders.Get("Set-Cookie"), ";")
			mine, at = "--header=cookie:"+cookie, "cookie:at="
		}
		e, err := r.Echo()
		must(t, err)
		here, other := e.Host, pods[0].Name
		if here == other {
			other = pods[1].Name
		}
		must(t, hosts(here)(asked(t, url, mine, "--count=100")))
		set(here, pods[:2]...)
		until(t, "others leave the pod that is going away", hosts(other), call, url, "--count=40")
		must(t, hosts(here)(asked(t, url, mine, "--count=100")))
		set("", *podOf(pods, other))
		until(t, "the client moves when its pod is gone", hosts(other), call, url, mine, "--count=20")
		stranger := "--header=" + at + base64.StdEncoding.EncodeToString([]byte(pods[2].Status.PodIP+":8080"))
		must(t, hosts(other)(asked(t, url, stranger, "--count=20")))
	}
}

func podOf(pods []corev1.Pod, name string) *corev1.Pod {
	return &pods[slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == name })]
}
