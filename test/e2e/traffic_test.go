// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// otherSpace is a namespace of the mesh with a client of its own.
const otherSpace = "e2e-other"

// testTraffic runs a case for each feature of traffic. They run side by side:
// each has hosts of its own, which are Services in front of the same few pods.
func testTraffic(t *testing.T) {
	trafficApplication(t)
	t.Run("aside", func(t *testing.T) {
		for _, p := range trafficCases {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.run(t)
			})
		}
	})
	for _, p := range trafficAlone {
		t.Run(p.name, p.run)
	}
}

// trafficCases names the cases; docs/traffic.md lists what each is the proof of.
var trafficCases = []part{
	{"Reach", testReach},
	{"Match", testMatch},
	{"RouteHeaders", testRouteHeaders},
	{"Redirect", testRedirect},
	{"Rewrite", testRewrite},
	{"DirectResponse", testDirectResponse},
	{"Delegate", testDelegate},
	{"Delay", testDelay},
	{"Abort", testAbort},
	{"Mirror", testMirror},
	{"CrossOrigin", testCrossOrigin},
	{"HeaderChanges", testHeaderChanges},
	{"Bytes", testBytes},
	{"ServerNames", testServerNames},
	{"Algorithms", testAlgorithms},
	{"ConsistentHash", testConsistentHash},
	{"Warmup", testWarmup},
	{"Nearness", testNearness},
	{"Sessions", testSessions},
	{"MaxConnections", testMaxConnections},
	{"PendingRequests", testPendingRequests},
	{"Upgrade", testUpgrade},
	{"Ejection", testEjection},
	{"PortLevel", testPortLevel},
	{"Origination", testOrigination},
	{"Tunnel", testTunnel},
	{"GatewaysShareAPort", testGatewaysShareAPort},
	{"GatewayModes", testGatewayModes},
	{"GatewayOfTheMesh", testGatewayOfTheMesh},
	{"SecretRotation", testSecretRotation},
	{"KubernetesIngress", testKubernetesIngress},
	{"ThirdPartyIngress", testThirdPartyIngress},
	{"Entries", testEntries},
	{"AddressesOfEntries", testAddressesOfEntries},
	{"DynamicNames", testDynamicNames},
	{"Machines", testMachines},
	{"ListedHosts", testListedHosts},
	{"IngressListeners", testIngressListeners},
	{"Protocols", testProtocols},
	{"OwnTLS", testOwnTLS},
	{"Detection", testDetection},
	{"Headless", testHeadless},
	{"Normalization", testNormalization},
	{"ProxyConfigOrder", testProxyConfigOrder},
}

// trafficAlone are those that others would disturb, or that disturb others.
var trafficAlone = []part{
	{"ManyEndpoints", testManyEndpoints},
	{"Claims", testClaims}, // it changes the gateway's listeners
	{"OutboundPolicy", testOutboundPolicy},
	{"EgressProxy", testEgressProxy},
}

var (
	trafficOnce sync.Once
	trafficErr  error
)

// trafficApplication makes sure that the pods run which the cases need besides
// those of application.
func trafficApplication(t *testing.T) {
	t.Helper()
	application(t)
	trafficOnce.Do(func() {
		trafficErr = startTraffic(t.Context(), data(t, "traffic/app.yaml"), data(t, "traffic/outside.yaml"), data(t, "traffic/other.yaml"))
	})
	must(t, trafficErr)
}

func startTraffic(ctx context.Context, app, outside, other []byte) error {
	if *reuse {
		return outsideReady(ctx)
	}
	if err := cluster.DeleteNamespace(ctx, podLimit, otherSpace); err != nil {
		return err
	}
	if err := cluster.MakeNamespace(ctx, otherSpace, map[string]string{"istio-injection": "enabled"}); err != nil {
		return err
	}
	if err := outsideSecrets(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		namespace string
		text      []byte
	}{{appSpace, app}, {plainSpace, outside}, {otherSpace, other}} {
		if err := cluster.Apply(ctx, part.namespace, part.text); err != nil {
			return err
		}
	}
	for _, namespace := range []string{appSpace, plainSpace, otherSpace} {
		if err := cluster.WaitDeployments(ctx, podLimit, namespace); err != nil {
			return err
		}
	}
	return nil
}

// service is a Service in front of pods with the labels. Its ports are given as
// NAME:PORT or NAME:PORT:TARGET; one of HTTP when none is.
func service(name, labels string, ports ...string) string {
	if len(ports) == 0 {
		ports = []string{"http:8080"}
	}
	var list []string
	for _, p := range ports {
		f := append(strings.Split(p, ":"), "")
		entry := fmt.Sprintf("{name: %q, port: %s}", f[0], f[1])
		if f[2] != "" {
			entry = fmt.Sprintf("{name: %q, port: %s, targetPort: %s}", f[0], f[1], f[2])
		}
		list = append(list, entry)
	}
	selector := ""
	if labels != "" {
		selector = "selector: {" + labels + "}, "
	}
	return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {%sports: [%s]}}\n", name, selector, strings.Join(list, ", "))
}

// object is a manifest of a kind of Istio's traffic API, with its spec.
func object(kind, name, spec string) string {
	version := env.VirtualService.Version
	if kind == "ProxyConfig" {
		version = "v1beta1"
	}
	return fmt.Sprintf("---\napiVersion: networking.istio.io/"+version+"\nkind: %s\nmetadata: {name: %s}\nspec:\n%s\n", kind, name, strings.TrimRight(spec, "\n"))
}

// given applies manifests to the application's namespace, waits until they have
// effect in every proxy as their status says it, and removes them when the test ends.
func given(t *testing.T, manifests ...string) {
	t.Helper()
	text := []byte(strings.Join(manifests, "\n"))
	t.Cleanup(func() {
		if err := cluster.Delete(context.Background(), appSpace, text); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	objects, err := cluster.Parse(text)
	must(t, err)
	for _, o := range objects {
		_, err := cluster.ApplyObject(t.Context(), appSpace, o)
		must(t, err)
	}
	for _, o := range objects {
		must(t, inEffect(t.Context(), o))
	}
}

// inEffect waits until an object is what proxies do. Of a Service that selects
// pods, that one of them is ready.
func inEffect(ctx context.Context, o *unstructured.Unstructured) error {
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = appSpace
	}
	switch group := o.GroupVersionKind().Group; {
	case strings.HasSuffix(group, ".istio.io") && o.GetKind() != "ProxyConfig":
		_, err := cluster.WaitCondition(ctx, changeLimit, o.GroupVersionKind(), namespace, o.GetName(), "Programmed", "True")
		return err
	case o.GetKind() == env.Service.Kind:
		if selector, _, _ := unstructured.NestedMap(o.Object, "spec", "selector"); len(selector) == 0 {
			return nil
		}
		return env.Eventually(ctx, changeLimit, "endpoints of Service "+o.GetName(), func(ctx context.Context) error {
			list, err := cluster.Kube.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + o.GetName()})
			if err != nil {
				return err
			}
			for _, s := range list.Items {
				for _, e := range s.Endpoints {
					if e.Conditions.Ready != nil && *e.Conditions.Ready {
						return nil
					}
				}
			}
			return fmt.Errorf("none of its %d EndpointSlices has a ready endpoint", len(list.Items))
		})
	}
	return nil
}

// asked sends requests from the client inside the mesh, once.
func asked(t *testing.T, args ...string) env.Report {
	t.Helper()
	r, err := call(t.Context(), args...)
	must(t, err)
	return r
}

// echoed is what the server says of a request that the client sends, which must
// be answered with 200.
func echoed(t *testing.T, args ...string) env.Echo {
	t.Helper()
	r := asked(t, args...)
	must(t, answered(r))
	e, err := r.Echo()
	must(t, err)
	return e
}

// otherCalls sends requests from the client of the other namespace.
func otherCalls(ctx context.Context, args ...string) (env.Report, error) {
	return cluster.Call(ctx, otherSpace, "app=client", "echo", args...)
}
