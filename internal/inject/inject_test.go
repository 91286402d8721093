// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/agent/metric"
	"github.com/meshwright/meshwright/internal/agent/probe"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

type staticNamespaces map[string]map[string]string

func (s staticNamespaces) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	labels, ok := s[name]
	if !ok {
		return nil, errors.New("the API server is away")
	}
	return labels, nil
}

// TestLabelMatrix is the table of eight cases that users of Istio know, each for the revision default.
func TestLabelMatrix(t *testing.T) {
	enabled, disabled := map[string]string{LabelNamespace: "enabled"}, map[string]string{LabelNamespace: "disabled"}
	on, off := map[string]string{LabelInject: "true"}, map[string]string{LabelInject: "false"}
	for i, c := range []struct {
		namespace, pod map[string]string
		want           Decision
	}{
		{enabled, nil, Decision{true, ReasonNamespaceOn}},
		{enabled, on, Decision{true, ReasonNamespaceOn}},
		{enabled, off, Decision{false, ReasonPodOff}},
		{disabled, nil, Decision{false, ReasonNamespaceOff}},
		{disabled, on, Decision{false, ReasonNamespaceOff}},
		{nil, nil, Decision{false, ReasonNoLabel}},
		{nil, on, Decision{true, ReasonPodOn}},
		{nil, off, Decision{false, ReasonPodOff}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: c.pod}}
		if got := Decide("default", "app", c.namespace, pod); got != c.want {
			t.Errorf("case %d: namespace %v, pod %v: got %v, want %v", i+1, c.namespace, c.pod, got, c.want)
		}
	}
}

func TestRevisions(t *testing.T) {
	rev := func(v string) map[string]string { return map[string]string{placement.LabelRevision: v} }
	both := map[string]string{LabelNamespace: "enabled", placement.LabelRevision: "blue"}
	for _, c := range []struct {
		name           string
		ours           string
		namespace, pod map[string]string
		want           Decision
	}{
		{"namespace of our revision", "blue", rev("blue"), nil, Decision{true, ReasonRevision}},
		{"namespace of another revision", "blue", rev("green"), nil, Decision{false, ReasonOther}},
		{"namespace's revision beats the pod's", "blue", rev("green"), rev("blue"), Decision{false, ReasonOther}},
		{"pod of our revision", "blue", nil, rev("blue"), Decision{true, ReasonPodRevision}},
		{"pod of another revision", "default", nil, rev("blue"), Decision{false, ReasonOther}},
		{"istio-injection beats istio.io/rev", "blue", both, nil, Decision{false, ReasonOther}},
		{"istio-injection is the default revision's", "default", both, nil, Decision{true, ReasonNamespaceOn}},
		{"pod label alone is the default revision's", "blue", nil, map[string]string{LabelInject: "true"}, Decision{false, ReasonOther}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: c.pod}}
		if got := Decide(c.ours, "app", c.namespace, pod); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDecideByPod(t *testing.T) {
	enabled := map[string]string{LabelNamespace: "enabled"}
	sidecar := corev1.Container{Name: ProxyContainer, RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}
	state := `{"initContainers":["istio-init","istio-proxy"],"revision":"default"}`
	for _, c := range []struct {
		name      string
		namespace string
		pod       corev1.Pod
		want      Decision
	}{
		{"host network", "app", corev1.Pod{Spec: corev1.PodSpec{HostNetwork: true}}, Decision{false, ReasonHostNetwork}},
		{"windows", "app", corev1.Pod{Spec: corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}}}, Decision{false, ReasonWindows}},
		{"system namespace", "kube-system", corev1.Pod{}, Decision{false, ReasonSystem}},
		{"annotation without label", "app", annotated(LabelInject, "false"), Decision{false, ReasonPodOff}},
		{"label beats annotation", "app", corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{LabelInject: "true"}, Annotations: map[string]string{LabelInject: "false"},
		}}, Decision{true, ReasonNamespaceOn}},
		{"a word that is not yes means no", "app", corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{LabelInject: "maybe"}}}, Decision{false, ReasonPodOff}},
		{"injected already", "app", corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{placement.AnnotationState: state}},
			Spec:       corev1.PodSpec{InitContainers: []corev1.Container{{Name: InitContainer}, sidecar}},
		}, Decision{false, ReasonInjected}},
		{"mark of an injection whose proxy is gone", "app", annotated(placement.AnnotationState, state), Decision{true, ReasonNamespaceOn}},
	} {
		if got := Decide("default", c.namespace, enabled, &c.pod); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func annotated(name, value string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{name: value}}}
}

func TestWrongAnnotationsAreAllNamed(t *testing.T) {
	wrong := map[string]string{
		annotationCPU:          "fast",
		annotationMemory:       "2Gi",
		annotationMemoryLimit:  "1Gi",
		annotationLogLevel:     "loud",
		annotationRewrite:      "perhaps",
		annotationInPorts:      "80,x",
		annotationNotInPorts:   "*",
		annotationNotOutPorts:  "70000",
		annotationOutRanges:    "10.0.0.0/33",
		annotationNotOutRanges: "*",
	}
	_, _, err := parseOptions(wrong, proxyconfig.Settings{})
	if err == nil {
		t.Fatal("accepted")
	}
	for name := range wrong {
		if name != annotationMemoryLimit && !strings.Contains(err.Error(), "metadata.annotations["+name+"]: ") {
			t.Errorf("%s is not named in:\n%v", name, err)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(wrong)-1 {
		t.Errorf("%d problems, want %d:\n%v", lines, len(wrong)-1, err)
	}
}

func TestResourcesKeepRequestBelowLimit(t *testing.T) {
	for _, c := range []struct {
		annotations            map[string]string
		cpu, cpuLimit, mem, ml string
	}{
		{nil, "50m", "2", "64Mi", "1Gi"},
		{map[string]string{annotationCPU: "3"}, "3", "3", "64Mi", "1Gi"},
		{map[string]string{annotationMemoryLimit: "32Mi"}, "50m", "2", "32Mi", "32Mi"},
		{map[string]string{annotationCPU: "100m", annotationCPULimit: "200m"}, "100m", "200m", "64Mi", "1Gi"},
	} {
		o, _, err := parseOptions(c.annotations, proxyconfig.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{o.resources.Requests.Cpu().String(), o.resources.Limits.Cpu().String(), o.resources.Requests.Memory().String(), o.resources.Limits.Memory().String()}
		if want := []string{c.cpu, c.cpuLimit, c.mem, c.ml}; !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", c.annotations, got, want)
		}
	}
}

// TestAgentUnderstands reads back, with the agent's own parsers, what the golden pod hands to it.
func TestAgentUnderstands(t *testing.T) {
	raw := []byte(`{"metadata":{"annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"9100","prometheus.io/path":"/m"}},
	  "spec":{"containers":[{"name":"a","ports":[{"name":"web","containerPort":8080}],
	  "livenessProbe":{"httpGet":{"path":"/l?x=1","port":"web","httpHeaders":[{"name":"Host","value":"h"}]},"timeoutSeconds":7},
	  "readinessProbe":{"grpc":{"port":9000,"service":"s"}},"startupProbe":{"tcpSocket":{"port":"8081"}}}]}}`)
	injector, err := NewInjector(testConfig, staticNamespaces{"app": {LabelNamespace: "enabled"}}, testProxies(), nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	response := injector.Review(t.Context(), podRequest("app", raw))
	var pod corev1.Pod
	if err := json.Unmarshal(apply(t, raw, response.Patch), &pod); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, v := range pod.Spec.InitContainers[1].Env {
		env[v.Name] = v.Value
	}
	set, err := probe.Parse(env[probe.Env])
	if err != nil {
		t.Fatal(err)
	}
	if live := set["a/livez"]; live.HTTPGet == nil || live.HTTPGet.Port != 8080 || live.HTTPGet.Path != "/l?x=1" || live.TimeoutSeconds != 7 || live.HTTPGet.Headers[0].Value != "h" {
		t.Errorf("liveness became %+v", live)
	}
	if ready := set["a/readyz"]; ready.GRPC == nil || *ready.GRPC != (probe.GRPC{Port: 9000, Service: "s"}) {
		t.Errorf("readiness became %+v", ready)
	}
	if startup := set["a/startupz"]; startup.TCPSocket == nil || startup.TCPSocket.Port != 8081 {
		t.Errorf("startup became %+v", startup)
	}
	page, err := metric.ParseApp(env[metric.AppEnv], "127.0.0.1")
	if err != nil || page != "http://127.0.0.1:9100/m" {
		t.Errorf("metrics page %q, %v", page, err)
	}
	got := pod.Spec.Containers[0].ReadinessProbe
	if got.GRPC != nil || got.HTTPGet == nil || got.HTTPGet.Path != "/app-health/a/readyz" || got.HTTPGet.Port.IntVal != 15020 {
		t.Errorf("the kubelet would probe %+v", got)
	}
}

func TestReviewLeavesAlone(t *testing.T) {
	injector, err := NewInjector(testConfig, staticNamespaces{"app": {LabelNamespace: "enabled"}}, testProxies(), nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	pod := []byte(`{"spec":{"containers":[{"name":"a"}]}}`)
	change := func(f func(*admissionv1.AdmissionRequest)) *admissionv1.AdmissionRequest {
		r := podRequest("app", pod)
		f(r)
		return r
	}
	for name, c := range map[string]struct {
		request *admissionv1.AdmissionRequest
		allowed bool
		code    int32
	}{
		"update":         {change(func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }), true, 0},
		"another kind":   {change(func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "services" }), true, 0},
		"a subresource":  {change(func(r *admissionv1.AdmissionRequest) { r.SubResource = "exec" }), true, 0},
		"not a pod":      {change(func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"spec":3}`) }), false, 400},
		"no labels":      {podRequest("unknown", pod), false, 500},
		"wrong settings": {podRequest("app", []byte(`{"metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"x"}},"spec":{"containers":[{"name":"a"}]}}`)), false, 422},
	} {
		response := injector.Review(t.Context(), c.request)
		if response.Allowed != c.allowed || response.Patch != nil || (!c.allowed && response.Result.Code != c.code) {
			t.Errorf("%s: got %+v", name, response)
		}
	}
}

// TestUnknownFieldsSurvive holds for fields that our version of the API types does not know.
func TestUnknownFieldsSurvive(t *testing.T) {
	raw := []byte(`{"metadata":{},"spec":{"fromTheFuture":{"x":1},"containers":[{"name":"a","alsoNew":true,"livenessProbe":{"httpGet":{"port":80},"newToo":5}}]}}`)
	got := fmt.Sprint(review(t, raw).Pod)
	for _, want := range []string{"fromTheFuture:map[x:1]", "alsoNew:true", "newToo:5"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is gone from %s", want, got)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	if err := testConfig.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Image = "" }, func(c *Config) { c.Revision = "" }, func(c *Config) { c.PullPolicy = "Sometimes" },
		func(c *Config) { c.DiscoveryAddress = "" }, func(c *Config) { c.TrustDomain = "" },
	} {
		c := testConfig
		change(&c)
		if c.Validate() == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}

func FuzzReview(f *testing.F) {
	f.Add([]byte(`{"metadata":{"labels":{"a/b~c":"d"},"annotations":{"sidecar.istio.io/status":"{}"}},"spec":{"containers":[{"name":"a"},{"name":"istio-proxy","image":"auto"}],"initContainers":[{"name":"istio-init"}]}}`))
	f.Add([]byte(`{"metadata":{"annotations":{"traffic.sidecar.istio.io/includeInboundPorts":""}},"spec":{"containers":[{"name":"a","livenessProbe":{"tcpSocket":{"port":"x"}}}],"volumes":[{"name":"istio-token"}]}}`))
	injector, err := NewInjector(testConfig, staticNamespaces{"app": {LabelNamespace: "enabled"}}, testProxies(), nil, logr.Discard())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		response := injector.Review(t.Context(), podRequest("app", raw))
		if response.Allowed && response.Patch != nil && !json.Valid(response.Patch) {
			t.Errorf("not JSON: %s", response.Patch)
		}
	})
}
