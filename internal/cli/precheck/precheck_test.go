// SPDX-License-Identifier: Apache-2.0

package precheck

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const constraint = ">=1.29.0-0"

// told writes findings as LEVEL OBJECT, which is enough to tell them apart.
func told(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		if f.Problem == "" || f.Remedy == "" {
			out = append(out, "a finding without problem or remedy")
		}
		out = append(out, string(f.Level)+" "+f.Object)
	}
	return out
}

func TestSatisfies(t *testing.T) {
	for version, want := range map[string]bool{
		"v1.29.0": true, "v1.29.0-gke.100": true, "v1.31.4-eks-ae9a62a": true, "v1.30.2+k3s1": true, "v1.36.3": true, "v2.0.0": true,
		"v1.28.15": false, "v1.28.15-gke.1": false, "v1.9.0": false,
	} {
		if got, err := satisfies(version, constraint); err != nil || got != want {
			t.Errorf("%s: got %t, %v", version, got, err)
		}
	}
	if _, err := satisfies("newest", constraint); err == nil {
		t.Error("a version that is none was read")
	}
}

func TestOlder(t *testing.T) {
	for kernel, want := range map[string]bool{
		"3.10.0-1160.el7.x86_64": true, "4.18.0-513": true, "4.19.0": false, "5.4.0-1103-azure": false, "6.1.0.33-amd64": false,
		"6.8.0-1018-gke": false, "": false, "unknown": false,
	} {
		if got := older(kernel, minKernel); got != want {
			t.Errorf("%q: got %t", kernel, got)
		}
	}
}

func node(name, kubelet, kernel, os, arch string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
		KubeletVersion: kubelet, KernelVersion: kernel, OperatingSystem: os, Architecture: arch,
	}}}
}

func TestNodes(t *testing.T) {
	good := node("good", "v1.36.1", "6.1.0", "linux", "amd64")
	arm := node("arm", "v1.36.1", "6.1.0", "linux", "arm64")
	for name, c := range map[string]struct {
		nodes []corev1.Node
		want  []string
	}{
		"none":    {nil, nil},
		"good":    {[]corev1.Node{good}, nil},
		"old":     {[]corev1.Node{good, node("a", "v1.28.1", "6.1.0", "linux", "amd64"), node("b", "v1.28.1", "3.10.0", "linux", "amd64")}, []string{"error nodes a, b", "warning nodes b"}},
		"mixed":   {[]corev1.Node{good, arm, node("w", "v1.20.0", "10.0.17763", "windows", "amd64")}, []string{"warning nodes arm", "warning nodes w"}},
		"no home": {[]corev1.Node{arm}, []string{"error nodes arm"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := judgeNodes(c.nodes, constraint)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, told(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPIs(t *testing.T) {
	lists := []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "pods", Kind: "Pod"}, {Name: "services", Kind: "Service"}}},
		{GroupVersion: "autoscaling/v1", APIResources: []metav1.APIResource{{Name: "horizontalpodautoscalers", Kind: "HorizontalPodAutoscaler"}}},
	}
	kinds := []schema.GroupVersionKind{
		{Version: "v1", Kind: "Service"}, {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	}
	brought := []schema.GroupResource{{Group: "networking.istio.io", Resource: "gateways"}}
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}},
		{APIGroups: []string{"networking.istio.io"}, Resources: []string{"gateways", "gateways/status"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}},
		{NonResourceURLs: []string{"/metrics"}},
	}
	want := []string{"error API autoscaling/v2 HorizontalPodAutoscaler", "error API endpointslices.discovery.k8s.io"}
	if diff := cmp.Diff(want, told(judgeAPIs(lists, brought, kinds, rules))); diff != "" {
		t.Error(diff)
	}
}

func injector(name string, own bool, hooks ...admissionregistrationv1.MutatingWebhook) admissionregistrationv1.MutatingWebhookConfiguration {
	out := admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: hooks}
	if own {
		out.Labels = map[string]string{labelPartOf: ownPart}
	}
	return out
}

func hook(resource string, namespace *metav1.LabelSelector) admissionregistrationv1.MutatingWebhook {
	return admissionregistrationv1.MutatingWebhook{
		Name: "a.b.c", NamespaceSelector: namespace,
		ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "sidecar.istio.io/inject", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"false"}}}},
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}},
		}},
	}
}

func match(labels map[string]string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: labels}
}

func TestRivals(t *testing.T) {
	enabled := match(map[string]string{"istio-injection": "enabled"})
	all := []admissionregistrationv1.MutatingWebhookConfiguration{
		injector("meshwright-injector", true, hook("pods", enabled)),
		injector("istio-sidecar-injector", false, hook("pods", match(map[string]string{"istio.io/rev": "1-30"})), hook("pods", enabled)),
		injector("istio-revision-tag-blue", false, hook("pods", match(map[string]string{"istio.io/rev": "blue"}))),
		injector("about-services", false, hook("services", enabled)),
		injector("about-every-pod", false, hook("pods", nil)),
	}
	for revision, want := range map[string][]string{
		"default": {"error MutatingWebhookConfiguration istio-sidecar-injector"},
		"blue":    {"error MutatingWebhookConfiguration istio-revision-tag-blue"},
		"green":   nil,
	} {
		got, err := rivals(all, revision)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, told(got)); diff != "" {
			t.Errorf("%s:\n%s", revision, diff)
		}
	}
	broken := hook("pods", &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Sometimes"}}})
	if _, err := rivals([]admissionregistrationv1.MutatingWebhookConfiguration{injector("broken", false, broken)}, "default"); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
}

func TestForgotten(t *testing.T) {
	space := func(name string, labels map[string]string) corev1.Namespace {
		return corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	spaces := []corev1.Namespace{
		space("plain", nil),
		space("ours", map[string]string{"istio.io/rev": "blue"}),
		space("served", map[string]string{"istio.io/rev": "tagged"}),
		space("lost", map[string]string{"istio.io/rev": "gone"}),
		space("lost-too", map[string]string{"istio.io/rev": "gone"}),
		space("enabled", map[string]string{"istio-injection": "enabled"}),
		space("off", map[string]string{"istio-injection": "disabled", "istio.io/rev": "gone"}),
	}
	served := []admissionregistrationv1.MutatingWebhookConfiguration{injector("tag", true, hook("pods", match(map[string]string{"istio.io/rev": "tagged"})))}
	got, err := forgotten(served, spaces, "blue")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"warning namespaces enabled", "warning namespaces lost, lost-too"}, told(got)); diff != "" {
		t.Error(diff)
	}
	if got, err = forgotten(served, spaces, "default"); err != nil || slices.Contains(told(got), "warning namespaces enabled") {
		t.Errorf("the revision default answers istio-injection=enabled: %v, %v", told(got), err)
	}
}

func TestRightsOf(t *testing.T) {
	got := rightsOf([]rbacv1.PolicyRule{
		{APIGroups: []string{"", "apps"}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}},
	})
	want := "get pods, get pods.apps, list pods, list pods.apps, watch pods and 2 more"
	if rightsText(got) != want {
		t.Errorf("got %s, want %s", rightsText(got), want)
	}
	if s := spec(right{verb: "patch", group: "g", resource: "things/status", namespace: "n"}).ResourceAttributes; s.Subresource != "status" || s.Resource != "things" || s.Namespace != "n" {
		t.Errorf("asked for %+v", s)
	}
}

// TestAddresses: only a Service that waits in vain tells that nobody gives addresses.
func TestAddresses(t *testing.T) {
	now := time.Unix(10000, 0)
	service := func(kind corev1.ServiceType, age time.Duration, address string) corev1.Service {
		out := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		out.Spec.Type = kind
		if address != "" {
			out.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
		}
		return out
	}
	waits := service(corev1.ServiceTypeLoadBalancer, time.Hour, "")
	node := func(provider string) []corev1.Node {
		return []corev1.Node{{Spec: corev1.NodeSpec{ProviderID: provider}}}
	}
	for name, c := range map[string]struct {
		services []corev1.Service
		nodes    []corev1.Node
		want     Level
	}{
		"one has an address":     {[]corev1.Service{waits, service(corev1.ServiceTypeLoadBalancer, time.Hour, "192.0.2.1")}, nil, ""},
		"one waits in vain":      {[]corev1.Service{waits}, node("aws:///x"), Warning},
		"one was just made":      {[]corev1.Service{service(corev1.ServiceTypeLoadBalancer, time.Second, "")}, node("kind://x"), Info},
		"nobody asked":           {[]corev1.Service{service(corev1.ServiceTypeClusterIP, time.Hour, "")}, node(""), Info},
		"nobody asked the cloud": {nil, node("gce://x"), ""},
	} {
		got := addresses([]string{"istio-system/gateway"}, c.services, c.nodes, now)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: %+v", name, got)
		case c.want != "" && (len(got) != 1 || got[0].Level != c.want):
			t.Errorf("%s: %+v, want one finding of level %s", name, got, c.want)
		case c.want == Warning && !strings.Contains(got[0].Problem, "Service a/b waits"):
			t.Errorf("%s: the problem %q does not name who waits", name, got[0].Problem)
		}
	}
}
