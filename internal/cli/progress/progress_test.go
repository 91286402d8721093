// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

func condition(kind string, status metav1.ConditionStatus, generation int64, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, ObservedGeneration: generation, Reason: reason, Message: message}
}

func mesh(conditions ...metav1.Condition) *v1alpha1.MeshOperator {
	out := &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "mesh", Generation: 2}}
	out.Status.ObservedGeneration, out.Status.Conditions = 2, conditions
	return out
}

// script answers reads with one state after the other, the last one for ever.
type script struct {
	client.Reader
	states []any
}

func (s *script) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	now := s.states[0]
	if len(s.states) > 1 {
		s.states = s.states[1:]
	}
	if err, ok := now.(error); ok {
		return err
	}
	reflect.ValueOf(object).Elem().Set(reflect.ValueOf(now).Elem())
	return nil
}

var (
	working = mesh(
		condition("CRDsReady", "True", 2, "Ready", ""),
		condition("ControlPlaneReady", "False", 2, "ControlPlaneNotReady", "Deployment istio-system/meshwright: 0 of 1 replicas are available"),
		condition("GatewaysReady", "False", 2, "ControlPlaneNotReady", "Deployment istio-system/meshwright: 0 of 1 replicas are available"),
		condition("Ready", "False", 2, "ControlPlaneNotReady", "Deployment istio-system/meshwright: 0 of 1 replicas are available"))
	done = mesh(
		condition("CRDsReady", "True", 2, "Ready", ""),
		condition("ControlPlaneReady", "True", 2, "Ready", ""),
		condition("Ready", "True", 2, "Ready", "all serve"))
	stalled = mesh(condition("Stalled", "True", 2, "ObjectConflict", "Service a/b exists"), condition("Ready", "False", 2, "ObjectConflict", "Service a/b exists"))
	old     = mesh(condition("Ready", "True", 1, "Ready", "all serve"))
)

var elapsed = regexp.MustCompile(`(?m)^ *\d+s  `)

func TestAwaitTellsEachChangeOnce(t *testing.T) {
	var out bytes.Buffer
	moving := mesh(working.Status.Conditions...)
	moving.Status.Upgrade = &v1alpha1.UpgradeStatus{From: "default", To: "default-abc", Phase: v1alpha1.UpgradeMoving, Step: 1, Steps: 3, Moved: 2, Total: 20}
	away := errors.New("dial tcp: connection refused")
	s := &script{states: []any{old, working, working, away, moving, done}}
	got, err := Await(t.Context(), s, "mesh", time.Minute, &Teller{Out: &out, Began: time.Now()}, Ready)
	if err != nil || got.Status.Conditions[2].Message != "all serve" {
		t.Fatalf("%v: %v", got, err)
	}
	want := `definitions    ready
control plane  ControlPlaneNotReady: Deployment istio-system/meshwright: 0 of 1 replicas are available
API server     dial tcp: connection refused
upgrade        Moving: default to default-abc, step 1 of 3, 2 of 20 workloads
control plane  ready
`
	if diff := cmp.Diff(want, elapsed.ReplaceAllString(out.String(), "")); diff != "" {
		t.Error(diff)
	}
}

func TestAwaitEnds(t *testing.T) {
	quiet := func() *Teller { return &Teller{Out: &bytes.Buffer{}, Began: time.Now()} }
	_, err := Await(t.Context(), &script{states: []any{stalled}}, "mesh", time.Minute, quiet(), Ready)
	var e *StalledError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "Service a/b exists\nremedy: ") || !strings.Contains(err.Error(), v1alpha1.AnnotationAdopt) {
		t.Errorf("stalled: %v", err)
	}
	_, err = Await(t.Context(), &script{states: []any{working}}, "mesh", time.Second, quiet(), Ready)
	var late *TimeoutError
	if !errors.As(err, &late) || strings.Count(err.Error(), "0 of 1 replicas") != 1 {
		t.Errorf("late: %v", err)
	}
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "meshoperators"}, "mesh")
	if _, err = Await(t.Context(), &script{states: []any{working, gone}}, "mesh", time.Minute, quiet(), Ready); !apierrors.IsNotFound(err) {
		t.Errorf("gone: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = Await(ended, &script{states: []any{working}}, "mesh", time.Minute, quiet(), Ready); err == nil || errors.As(err, &late) && late.Name == "" {
		t.Errorf("interrupted: %v", err)
	}
}

func TestGone(t *testing.T) {
	var out bytes.Buffer
	going := mesh(condition("Ready", "False", 2, "Deleting", "deleting MeshRevision default: pods are there"))
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "meshoperators"}, "mesh")
	if err := Gone(t.Context(), &script{states: []any{going, gone}}, "mesh", time.Minute, &Teller{Out: &out, Began: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "pods are there") {
		t.Error(out.String())
	}
	var late *TimeoutError
	if err := Gone(t.Context(), &script{states: []any{going}}, "mesh", time.Second, &Teller{Out: &out}); !errors.As(err, &late) {
		t.Errorf("late: %v", err)
	}
}

// lists is a reader of MeshRevisions: one list for each look, then none.
type lists struct {
	client.Reader
	looks [][]v1alpha1.MeshRevision
}

func (l *lists) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	if len(l.looks) == 0 {
		return nil
	}
	into.(*v1alpha1.MeshRevisionList).Items = l.looks[0]
	if len(l.looks) > 1 {
		l.looks = l.looks[1:]
	}
	return nil
}

func TestRemoved(t *testing.T) {
	m := &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "one"}}
	going := v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	going.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "Deleting", Message: "pods are there"}}
	of := true
	taken := v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: "default", OwnerReferences: []metav1.OwnerReference{{UID: "two", Controller: &of}}}}
	others := v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: "other"}}
	var out bytes.Buffer
	reader := &lists{looks: [][]v1alpha1.MeshRevision{{going, others}, {taken, others}}}
	if err := Removed(t.Context(), reader, m, []string{"default"}, time.Minute, &Teller{Out: &out, Began: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "pods are there") {
		t.Error(out.String())
	}
	var late *TimeoutError
	err := Removed(t.Context(), &lists{looks: [][]v1alpha1.MeshRevision{{going}}}, m, []string{"default"}, time.Second, &Teller{Out: &out})
	if !errors.As(err, &late) || !strings.Contains(err.Error(), "pods are there") || !strings.Contains(err.Error(), "MeshOperator mesh is gone, and what was installed for it is not") {
		t.Errorf("late: %v", err)
	}
}

// TestReadyIsOfTheCurrentSpec: what an older spec was is not what is awaited.
func TestReadyIsOfTheCurrentSpec(t *testing.T) {
	for name, c := range map[string]struct {
		mesh *v1alpha1.MeshOperator
		want bool
	}{"old": {old, false}, "working": {working, false}, "done": {done, true}, "nothing": {mesh(), false}} {
		if got, err := Ready(c.mesh); got != c.want || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	was := mesh(condition("Stalled", "True", 1, "ObjectConflict", "x"))
	if ok, err := Ready(was); ok || err != nil {
		t.Errorf("what stalled before stalls still: %v", err)
	}
}

func TestUpgrade(t *testing.T) {
	if got := Upgrade(nil); got != "" {
		t.Error(got)
	}
	u := &v1alpha1.UpgradeStatus{From: "default", To: "default", Phase: v1alpha1.UpgradeInstalling, Target: v1alpha1.Identity{Version: "v0.1.0", Tag: "t2"}, Message: "waits"}
	if got := Upgrade(u); got != "Installing: default to v0.1.0 (tag t2): waits" {
		t.Error(got)
	}
	u.Target = v1alpha1.Identity{Version: "v0.1.0", Digests: &v1alpha1.Digests{ControlPlane: "sha256:0123456789abcdef0123"}}
	if got := Upgrade(u); got != "Installing: default to v0.1.0 (sha256:0123456789ab): waits" {
		t.Error(got)
	}
}
