// SPDX-License-Identifier: Apache-2.0

package census

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/meshwright/meshwright/internal/report"
)

func replica(revision, name string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "mesh", Name: name, Labels: map[string]string{"app": "meshwright", "istio.io/rev": revision}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
	}
}

// TestAsk: what replicas say is added up for each control plane; who gives no answer is named; who is not ready is not asked.
func TestAsk(t *testing.T) {
	reader := fake.NewClientBuilder().WithObjects(
		replica("default", "a", corev1.ConditionTrue), replica("default", "b", corev1.ConditionTrue), replica("default", "c", corev1.ConditionFalse),
		replica("default", "mute", corev1.ConditionTrue), replica("next", "d", corev1.ConditionTrue), replica("shut", "e", corev1.ConditionTrue),
	).Build()
	works := report.Answer{Answers: true}
	ask := func(_ context.Context, pod *corev1.Pod) (report.Report, error) {
		switch pod.Name {
		case "a":
			return report.Report{Version: "v2", XDS: works, Webhooks: works, Proxies: report.Proxies{Connected: 5, Synced: 5}}, nil
		case "b":
			return report.Report{Version: "v1", XDS: works, Webhooks: works, Proxies: report.Proxies{Connected: 7, Synced: 4, Rejecting: 2}}, nil
		case "d":
			return report.Report{Version: "v2", XDS: report.Answer{Error: "refused"}, Webhooks: works}, nil
		case "e":
			return report.Report{}, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "e", errors.New("no"))
		}
		return report.Report{}, errors.New("timeout of " + pod.Name)
	}
	planes := []ControlPlane{
		{Revision: "default", Namespace: "mesh", Version: "v2", Ready: 3},
		{Revision: "next", Namespace: "mesh", Version: "v2", Ready: 1},
		{Revision: "shut", Namespace: "mesh", Version: "v2", Ready: 1},
		{Revision: "gateways", Namespace: "mesh", Version: "v2"},
	}
	if err := Ask(t.Context(), reader, ask, planes); err != nil {
		t.Fatal(err)
	}
	want := []*Told{
		{Replicas: 2, Versions: []string{"v1", "v2"}, Connected: 12, Stale: 3, Rejecting: 2, Troubles: []string{"pod mesh/mute is ready, and does not say how it is: timeout of mute"}},
		{Replicas: 1, Versions: []string{"v2"}, Troubles: []string{"pod mesh/d: its own xDS gives no answer: refused"}},
		{Troubles: []string{"you may not get pods/proxy in namespace mesh, so it was not asked"}},
		nil,
	}
	for i, plane := range planes {
		if diff := cmp.Diff(want[i], plane.Told); diff != "" {
			t.Errorf("%s: %s", plane.Revision, diff)
		}
	}
	if got := planes[0].Running() + " " + planes[3].Running(); got != "v1,v2 v2" {
		t.Errorf("versions %s", got)
	}
}
