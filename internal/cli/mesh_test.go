// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/precheck"
	"github.com/meshwright/meshwright/internal/cli/printer"
)

func identity(tag string) v1alpha1.Identity {
	return v1alpha1.Identity{Version: "v0.1.0", Registry: "r", Tag: tag}
}

func history(tags ...string) []v1alpha1.HistoryEntry {
	out := make([]v1alpha1.HistoryEntry, len(tags))
	for i, tag := range tags {
		out[i].Identity = identity(tag)
	}
	return out
}

func TestRollback(t *testing.T) {
	digests := &v1alpha1.Digests{Proxy: "sha256:x"}
	for name, c := range map[string]struct {
		upgrade *v1alpha1.UpgradeStatus
		history []v1alpha1.HistoryEntry
		steps   int
		tag     string
		fails   string
	}{
		"at rest":                 {nil, history("t3", "t2", "t1"), 1, "t2", ""},
		"at rest, two back":       {nil, history("t3", "t2", "t1"), 2, "t1", ""},
		"while an upgrade runs":   {&v1alpha1.UpgradeStatus{Phase: v1alpha1.UpgradeMoving}, history("t2", "t1"), 1, "t2", ""},
		"after one that failed":   {&v1alpha1.UpgradeStatus{Phase: v1alpha1.UpgradeFailed}, history("t2", "t1"), 1, "t2", ""},
		"further than remembered": {nil, history("t3", "t2"), 2, "", "1 former state"},
		"never anything else":     {nil, history("t3"), 1, "", "never ready"},
		"never ready":             {nil, nil, 1, "", "never ready"},
		"forward":                 {nil, history("t3", "t2"), 0, "", "at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &v1alpha1.MeshOperator{Spec: v1alpha1.MeshOperatorSpec{
				Profile: "demo", Version: "v0.2.0", Image: &v1alpha1.Image{Tag: "t9", PullPolicy: "Always", Digests: digests},
				UpgradeStrategy: &v1alpha1.UpgradeStrategy{Type: v1alpha1.Canary, Canary: &v1alpha1.CanaryStrategy{Promote: "default-x"}},
			}}
			m.Status.Upgrade, m.Status.History = c.upgrade, c.history
			err := rollback(m, c.steps)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := v1alpha1.MeshOperatorSpec{
				Profile: "demo", Version: "v0.1.0", Image: &v1alpha1.Image{Registry: "r", Tag: c.tag, PullPolicy: "Always"},
				UpgradeStrategy: &v1alpha1.UpgradeStrategy{Type: v1alpha1.Canary, Canary: &v1alpha1.CanaryStrategy{}},
			}
			if diff := cmp.Diff(want, m.Spec); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestControls(t *testing.T) {
	under := func(phase v1alpha1.UpgradePhase, kind v1alpha1.UpgradeType) *v1alpha1.MeshOperator {
		m := &v1alpha1.MeshOperator{Spec: v1alpha1.MeshOperatorSpec{UpgradeStrategy: &v1alpha1.UpgradeStrategy{Type: kind}}}
		m.Status.Upgrade = &v1alpha1.UpgradeStatus{From: "default", To: "default-x", Phase: phase}
		return m
	}
	m := under(v1alpha1.UpgradeMoving, v1alpha1.Canary)
	if err := promote(m); err != nil || m.Spec.UpgradeStrategy.Canary.Promote != "default-x" {
		t.Errorf("promote: %v, %+v", err, m.Spec.UpgradeStrategy.Canary)
	}
	if err := abort(m); err != nil || m.Spec.UpgradeStrategy.Canary.Abort != "default-x" || m.Spec.UpgradeStrategy.Canary.Promote != "" {
		t.Errorf("abort: %v, %+v", err, m.Spec.UpgradeStrategy.Canary)
	}
	for name, c := range map[string]struct {
		mesh *v1alpha1.MeshOperator
		do   func(*v1alpha1.MeshOperator) error
		want string
	}{
		"nothing under way": {&v1alpha1.MeshOperator{}, promote, "no upgrade"},
		"failed already":    {under(v1alpha1.UpgradeFailed, v1alpha1.Canary), abort, "no upgrade"},
		"no steps":          {under(v1alpha1.UpgradeInstalling, v1alpha1.InPlace), promote, "InPlace"},
		"going back":        {under(v1alpha1.UpgradeRollingBack, v1alpha1.Canary), promote, "being undone"},
	} {
		if err := c.do(c.mesh); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	bare := &v1alpha1.MeshOperator{}
	if err := pause(bare); err != nil || !bare.Spec.UpgradeStrategy.Paused {
		t.Errorf("pause: %v", err)
	}
	if err := resume(bare); err != nil || bare.Spec.UpgradeStrategy.Paused {
		t.Errorf("resume: %v", err)
	}
}

// TestUpgraded: flags go over the spec that is there, a file replaces it.
func TestUpgraded(t *testing.T) {
	live := &v1alpha1.MeshOperator{Spec: v1alpha1.MeshOperatorSpec{
		Profile: "demo", Namespace: "mesh",
		Image:           &v1alpha1.Image{Registry: "r", Tag: "t1", Digests: &v1alpha1.Digests{Proxy: "sha256:x"}},
		UpgradeStrategy: &v1alpha1.UpgradeStrategy{Type: v1alpha1.Canary, Canary: &v1alpha1.CanaryStrategy{}},
	}}
	s := &session{Streams: Streams{In: strings.NewReader("apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nspec: {profile: minimal}\n"), Err: &bytes.Buffer{}}}
	u := upgrading{version: "v0.2.0", tag: "t2", strategy: "InPlace"}
	u.wish.Set = []string{"meshConfig.accessLogFile=/dev/stdout"}
	got, err := s.upgraded(live, u)
	if err != nil {
		t.Fatal(err)
	}
	log := "/dev/stdout"
	want := v1alpha1.MeshOperatorSpec{
		Profile: "demo", Namespace: "mesh", Version: "v0.2.0", Image: &v1alpha1.Image{Registry: "r", Tag: "t2"},
		UpgradeStrategy: &v1alpha1.UpgradeStrategy{Type: v1alpha1.InPlace}, MeshConfig: &v1alpha1.MeshConfig{AccessLogFile: &log},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if live.Spec.Image.Tag != "t1" {
		t.Error("the live object was changed")
	}
	u = upgrading{}
	u.wish.Files = []string{"-"}
	if got, err = s.upgraded(live, u); err != nil || got.Profile != "minimal" || got.Image != nil {
		t.Errorf("from a file: %+v, %v", got, err)
	}
	u = upgrading{}
	u.wish.Set = []string{"nonesuch=1"}
	var e *exit
	if _, err = s.upgraded(live, u); !errors.As(err, &e) || e.code != codeUsage {
		t.Errorf("got %v", err)
	}
}

func TestOtherManagers(t *testing.T) {
	entry := func(manager, sub, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: sub, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	got := otherManagers([]metav1.ManagedFieldsEntry{
		entry("meshctl", "", `{"f:spec":{"f:profile":{}}}`), entry("kubectl-client-side-apply", "", `{"f:spec":{}}`),
		entry("meshwright-operator", "status", `{"f:status":{}}`), entry("argocd-controller", "", `{"f:spec":{"f:image":{}}}`),
		entry("kustomize-controller", "", `{"f:metadata":{}}`), entry("argocd-controller", "", `{"f:spec":{}}`),
		{Manager: "empty"},
	})
	if diff := cmp.Diff([]string{"argocd-controller"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "y": true, "n\n": false, "": false, "\n": false, "yup\n": false} {
		var asked bytes.Buffer
		s := &session{Streams: Streams{In: strings.NewReader(answer), Err: &asked}}
		if err := s.confirm("Change it?"); (err == nil) != want || !strings.Contains(asked.String(), "Change it? [y/N]") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []v1alpha1.MeshOperator{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {ObjectMeta: metav1.ObjectMeta{Name: "b"}}}
	made := v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "ns.iop", Annotations: map[string]string{annotationSource: "ns/iop"}}}
	if got, err := choose(all, nil); err != nil || len(got) != 2 {
		t.Errorf("all: %v, %v", names(got), err)
	}
	if got, err := choose(append(all, made), []string{"b"}); err != nil || len(got) != 1 || got[0].Name != "b" {
		t.Errorf("one: %v, %v", names(got), err)
	}
	if _, err := choose(all, []string{"c"}); err == nil || !strings.Contains(err.Error(), "there are: a, b") {
		t.Errorf("none: %v", err)
	}
	if _, err := choose(append(all, made), nil); err == nil || !strings.Contains(err.Error(), "kubectl -n ns delete istiooperator iop") {
		t.Errorf("made from another: %v", err)
	}
}

func TestRemovable(t *testing.T) {
	ours, helms := census.Operator{Name: "o", InstalledBy: "meshctl"}, census.Operator{Name: "o", InstalledBy: "Helm"}
	if err := removable([]census.Operator{ours}, 0); err != nil {
		t.Error(err)
	}
	if err := removable([]census.Operator{ours}, 1); err == nil {
		t.Error("a mesh is left without an operator")
	}
	if err := removable([]census.Operator{helms}, 0); err == nil || !strings.Contains(err.Error(), "Helm") {
		t.Errorf("got %v", err)
	}
}

// troubled is a cluster in which most that can be wrong is.
func troubled() state {
	failing := v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "blue", Generation: 2}}
	failing.Spec.Revision = "blue"
	failing.Status.Version, failing.Status.Profile = "v0.1.0", "default"
	failing.Status.Conditions = []metav1.Condition{
		{Type: "Ready", Status: "False", ObservedGeneration: 2, Reason: "ObjectConflict", Message: "Service a/b exists"},
		{Type: "Stalled", Status: "True", ObservedGeneration: 2, Reason: "ObjectConflict", Message: "Service a/b exists"},
	}
	failing.Status.Upgrade = &v1alpha1.UpgradeStatus{From: "blue", To: "blue-x", Phase: v1alpha1.UpgradeFailed, Step: 1, Steps: 2, Total: 4, Message: "pods did not become ready"}
	well := v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "mesh", Generation: 1}}
	well.Status.Version, well.Status.Profile = "v0.1.0", "demo"
	well.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", ObservedGeneration: 1, Reason: "Ready", Message: "all serve"}}
	well.Status.Gateways = []v1alpha1.GatewayStatus{
		{Name: "in", Namespace: "istio-system", Ready: true, Addresses: []string{"10.0.0.1", "fd00::1"}},
		{Name: "out", Namespace: "istio-system", Ready: true},
	}
	fresh := v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "green", Generation: 1}}
	out := state{
		Meshes:    []meshState{stateOf(&failing), stateOf(&fresh), stateOf(&well)},
		Operators: []census.Operator{{Namespace: "meshwright-system", Name: "meshwright-operator", Version: "v0.1.0", Replicas: 1}},
		ControlPlanes: []census.ControlPlane{
			{Revision: "blue", Namespace: "istio-system", Version: "v0.1.0", Ready: 0, Replicas: 1, Condition: "False"},
			{Revision: "default", Namespace: "istio-system", Version: "v0.1.0", Ready: 2, Replicas: 2, Condition: "True", Told: &census.Told{
				Replicas: 1, Versions: []string{"v0.1.0"}, Connected: 9, Stale: 2, Rejecting: 1, Troubles: []string{"pod istio-system/b is ready, and does not say how it is: timeout"},
			}},
		},
		Proxies: []census.Proxies{
			{Kind: census.Gateway, Revision: "default", Version: "v0.1.0", Pods: 2, Namespaces: 1},
			{Kind: census.Sidecar, Revision: "default", Version: "v0.0.9", Pods: 7, Namespaces: 2},
			{Kind: census.Sidecar, Revision: "gone", Version: "v0.0.9", Pods: 1, Namespaces: 1},
		},
	}
	out.Tags = []tagState{
		{Name: "prod", Revision: "default", Answers: "default", Ready: "True", Namespaces: []string{"shop", "stock"}},
		{Name: "next", Revision: "blue", Ready: "False", Message: "ControlPlaneNotReady: no root yet", Namespaces: []string{}},
	}
	out.Unanswered = []precheck.Finding{{Level: precheck.Warning, Object: "namespaces shop", Problem: "they ask", Remedy: "answer"}}
	out.Problems = problems(out)
	return out
}

func TestStatusTable(t *testing.T) {
	found := troubled()
	if found.ready() {
		t.Error("it is ready")
	}
	for name, format := range map[string]printer.Format{"status.txt": printer.Table, "status.json": printer.JSON} {
		var out bytes.Buffer
		if err := printer.Print(&out, format, found, found.table); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.String())
	}
	found.Meshes = found.Meshes[2:]
	if !found.ready() {
		t.Error("it is not ready")
	}
	if (state{}).ready() {
		t.Error("no mesh is ready")
	}
}
