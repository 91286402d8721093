// SPDX-License-Identifier: Apache-2.0

package health_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/health"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return out
}

func deployment(spec, status string) string {
	return "{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: ns, name: d, generation: 2}, spec: " + spec + ", status: " + status + "}"
}

func TestOf(t *testing.T) {
	hook := func(kind, bundle string) string {
		return "{apiVersion: admissionregistration.k8s.io/v1, kind: " + kind + ", metadata: {name: w}, webhooks: [{name: a.b.c, clientConfig: {" + bundle + "}}]}"
	}
	for name, c := range map[string]struct{ object, want string }{
		"deployment ready":      {deployment("{replicas: 2}", "{observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}"), ""},
		"deployment of zero":    {deployment("{replicas: 0}", "{observedGeneration: 2}"), ""},
		"deployment stale":      {deployment("{replicas: 0}", "{observedGeneration: 1}"), "Deployment ns/d: its latest change was not acted on yet"},
		"deployment updating":   {deployment("{replicas: 2}", "{observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 2}"), "1 of 2 replicas are updated"},
		"deployment away":       {deployment("{replicas: 2}", "{observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 1}"), "1 of 2 replicas are available"},
		"deployment with old":   {deployment("{}", "{observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 2}"), "1 old replicas are still there"},
		"deployment over quota": {deployment("{}", "{observedGeneration: 2, conditions: [{type: ReplicaFailure, status: 'True', message: over quota}]}"), "pods cannot be created: over quota"},
		"crd ready":             {"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: c}, status: {conditions: [{type: Established, status: 'True'}]}}", ""},
		"crd new":               {"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: c}}", "it is not established yet"},
		"crd names":             {"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: c}, status: {conditions: [{type: NamesAccepted, status: 'False', message: taken}]}}", "its names are not accepted: taken"},
		"mutating ready":        {hook("MutatingWebhookConfiguration", "caBundle: YQ=="), ""},
		"mutating new":          {hook("MutatingWebhookConfiguration", ""), "webhook a.b.c has no CA bundle yet"},
		"validating ready":      {hook("ValidatingWebhookConfiguration", "caBundle: YQ=="), ""},
		"validating new":        {hook("ValidatingWebhookConfiguration", ""), "webhook a.b.c has no CA bundle yet"},
		"service":               {"{apiVersion: v1, kind: Service, metadata: {name: s}}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := health.Of(object(t, c.object))
			if err != nil {
				t.Fatal(err)
			}
			if got.Ready != (c.want == "") || !strings.Contains(got.Message, c.want) {
				t.Errorf("got %+v, want %q", got, c.want)
			}
		})
	}
	if _, err := health.Of(object(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {replicas: many}}")); err == nil {
		t.Error("an object of another shape is judged")
	}
}

func TestTrouble(t *testing.T) {
	now := metav1.Now()
	waiting := func(reason string) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "because"}}}}
	}
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"unscheduled": {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "no node"}}}, "pod p: not scheduled: no node"},
		"pull":        {corev1.PodStatus{ContainerStatuses: waiting("ImagePullBackOff")}, "pod p: container c: ImagePullBackOff: because"},
		"init":        {corev1.PodStatus{InitContainerStatuses: waiting("CrashLoopBackOff")}, "pod p: container c: CrashLoopBackOff"},
		"creating":    {corev1.PodStatus{ContainerStatuses: waiting("ContainerCreating")}, ""},
		"not ready": {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "c", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}}, "pod p: container c runs but is not ready"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: c.status}
			if got := health.Trouble([]corev1.Pod{pod}); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			pod.DeletionTimestamp = &now
			if got := health.Trouble([]corev1.Pod{pod}); got != "" {
				t.Errorf("a pod that is going is blamed: %q", got)
			}
		})
	}
}

func TestBroken(t *testing.T) {
	for name, c := range map[string]struct{ status, want string }{
		"crash loop":      {`{initContainerStatuses: [{name: istio-proxy, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 3}}}]}`, "pod p: container istio-proxy: CrashLoopBackOff (last exit code 3)"},
		"no image":        {`{containerStatuses: [{name: istio-proxy, state: {waiting: {reason: ErrImagePull, message: not found}}}]}`, "pod p: container istio-proxy: ErrImagePull: not found"},
		"again":           {`{initContainerStatuses: [{name: istio-proxy, restartCount: 2, state: {running: {}}, lastState: {terminated: {exitCode: 1}}}]}`, "pod p: container istio-proxy ended 2 times, the last time with exit code 1"},
		"once":            {`{initContainerStatuses: [{name: istio-proxy, restartCount: 1, state: {running: {}}, lastState: {terminated: {exitCode: 1}}}]}`, ""},
		"long ago":        {`{initContainerStatuses: [{name: istio-proxy, ready: true, restartCount: 9, state: {running: {}}, lastState: {terminated: {exitCode: 1}}}]}`, ""},
		"starting":        {`{containerStatuses: [{name: istio-proxy, state: {waiting: {reason: ContainerCreating}}}]}`, ""},
		"somebody else's": {`{containerStatuses: [{name: app, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff}}}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{}
			if err := yaml.UnmarshalStrict([]byte("{metadata: {name: p}, status: "+c.status+"}"), pod); err != nil {
				t.Fatal(err)
			}
			if got := health.Broken(pod, "istio-init", "istio-proxy"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
