// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// server answers reads with live and applies with answers, in turn.
type server struct {
	client.Client
	live    *unstructured.Unstructured
	answers []error
	applied []*unstructured.Unstructured
	forced  []bool
}

func (s *server) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	target, ok := object.(*unstructured.Unstructured)
	if !ok || s.live == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "deployments"}, key.Name)
	}
	s.live.DeepCopyInto(target)
	return nil
}

func (s *server) Apply(_ context.Context, configuration runtime.ApplyConfiguration, options ...client.ApplyOption) error {
	var o client.ApplyOptions
	o.ApplyOptions(options)
	target, ok := configuration.(interface {
		MarshalJSON() ([]byte, error)
		UnmarshalJSON([]byte) error
	})
	if !ok {
		return errors.New("not unstructured")
	}
	data, err := target.MarshalJSON()
	if err != nil {
		return err
	}
	sent := &unstructured.Unstructured{}
	if err := sent.UnmarshalJSON(data); err != nil {
		return err
	}
	s.applied, s.forced = append(s.applied, sent), append(s.forced, o.Force != nil && *o.Force)
	var answer error
	if len(s.answers) > 0 {
		answer, s.answers = s.answers[0], s.answers[1:]
	}
	if answer != nil {
		return answer
	}
	back := sent.DeepCopy()
	back.SetResourceVersion("2")
	s.live = back
	data, err = back.MarshalJSON()
	if err != nil {
		return err
	}
	return target.UnmarshalJSON(data)
}

func deployment(replicas int64) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"namespace": "ns", "name": "d", "labels": map[string]any{v1alpha1.LabelRevision: "default"}},
		"spec":     map[string]any{"replicas": replicas, "paused": false},
	}}
	return out
}

func conflict(causes ...metav1.StatusCause) error {
	err := apierrors.NewConflict(schema.GroupResource{Resource: "deployments"}, "d", errors.New("conflict"))
	err.ErrStatus.Details.Causes = causes
	return err
}

func cause(field, by string) metav1.StatusCause {
	return metav1.StatusCause{Type: metav1.CauseTypeFieldManagerConflict, Field: field, Message: `conflict with "` + by + `" using apps/v1`}
}

func TestApplySendsOnce(t *testing.T) {
	s := &server{}
	a := &Applier{Client: s, Reader: s}
	for round := range 3 {
		result, err := a.Apply(context.Background(), deployment(1), false)
		if err != nil {
			t.Fatal(err)
		}
		if result.Created != (round == 0) || result.Changed != (round == 0) || result.Live.GetResourceVersion() != "2" {
			t.Errorf("round %d: %+v", round, result)
		}
	}
	if len(s.applied) != 1 {
		t.Errorf("%d applies were sent, want 1", len(s.applied))
	}
	s.live.SetResourceVersion("3") // Somebody wrote.
	if _, err := a.Apply(context.Background(), deployment(1), false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(context.Background(), deployment(2), false); err != nil { // We want something else.
		t.Fatal(err)
	}
	if len(s.applied) != 3 {
		t.Errorf("%d applies were sent, want 3", len(s.applied))
	}
}

func TestApplyConflicts(t *testing.T) {
	s := &server{answers: []error{conflict(cause(".spec.replicas", "kube-controller-manager"), cause(".spec.paused", "kubectl-edit"))}}
	a := &Applier{Client: s, Reader: s}
	result, err := a.Apply(context.Background(), deployment(1), false)
	if err != nil {
		t.Fatal(err)
	}
	want := Result{
		Taken: []Conflict{{Field: ".spec.paused", Manager: "kubectl-edit"}},
		Left:  []Conflict{{Field: ".spec.replicas", Manager: "kube-controller-manager"}},
	}
	if diff := cmp.Diff(want.Taken, result.Taken); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.Left, result.Left); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]bool{false, true}, s.forced); diff != "" {
		t.Errorf("force differs:\n%s", diff)
	}
	if _, has, _ := unstructured.NestedInt64(s.applied[1].Object, "spec", "replicas"); has {
		t.Error("replicas were taken from the autoscaler")
	}
	if _, has, _ := unstructured.NestedBool(s.applied[1].Object, "spec", "paused"); !has {
		t.Error("the field that a person changed was not put back")
	}
}

func TestReplicasThatAPersonChangedAreOurs(t *testing.T) {
	for by, want := range map[string]bool{"kubectl": false, "kubectl-scale": false, "Helm": false, "keda-operator": true, "kube-controller-manager": true} {
		if got := leave(Conflict{Field: ".spec.replicas", Manager: by}); got != want {
			t.Errorf("%s: left is %v, want %v", by, got, want)
		}
	}
	if leave(Conflict{Field: ".spec.paused", Manager: "keda-operator"}) {
		t.Error("another field is left")
	}
}

func TestApplyGivesUpAContest(t *testing.T) {
	s := &server{}
	clock := testclock.NewFakeClock(time.Unix(1000, 0))
	a := &Applier{Client: s, Reader: s, Clock: clock}
	try := func() error {
		s.answers = []error{conflict(cause(".spec.paused", "robot"))}
		if s.live != nil {
			s.live.SetResourceVersion(s.live.GetResourceVersion() + "0")
		}
		_, err := a.Apply(context.Background(), deployment(1), true)
		return err
	}
	for n := range contestLimit {
		if err := try(); err != nil {
			t.Fatalf("round %d: %v", n, err)
		}
		clock.SetTime(clock.Now().Add(time.Second))
	}
	err := try()
	var contested *ContestedError
	if !errors.As(err, &contested) || !strings.Contains(err.Error(), ".spec.paused (by robot)") || !strings.Contains(err.Error(), "Deployment ns/d") {
		t.Fatalf("got %v, want a ContestedError", err)
	}
	clock.SetTime(clock.Now().Add(contestWindow + time.Second))
	if err := try(); err != nil {
		t.Errorf("after a quiet time: %v", err)
	}
	if len(a.contest.taken) != 1 {
		t.Errorf("%d objects are remembered", len(a.contest.taken))
	}
}

func TestRefuse(t *testing.T) {
	live := func(labels, annotations map[string]string) *unstructured.Unstructured {
		out := deployment(1)
		out.SetLabels(labels)
		out.SetAnnotations(annotations)
		return out
	}
	mine := map[string]string{v1alpha1.LabelRevision: "default"}
	theirs := map[string]string{v1alpha1.LabelRevision: "canary"}
	for name, c := range map[string]struct {
		live  *unstructured.Unstructured
		known bool
		want  string
	}{
		"ours":                   {live(mine, nil), false, ""},
		"ours, label taken off":  {live(nil, nil), true, ""},
		"nobody's":               {live(nil, nil), false, "somebody else"},
		"another revision's":     {live(theirs, nil), false, "the MeshRevision canary"},
		"taken by another":       {live(theirs, nil), true, "the MeshRevision canary"},
		"of a Helm release":      {live(nil, map[string]string{"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "n"}), false, "the Helm release n/r"},
		"handed over":            {live(nil, map[string]string{v1alpha1.AnnotationAdopt: "true"}), false, ""},
		"handed over by another": {live(theirs, map[string]string{v1alpha1.AnnotationAdopt: "true"}), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := refuse(deployment(1), c.live, c.known)
			var foreign *ForeignError
			if (c.want == "") != (err == nil) || err != nil && (!errors.As(err, &foreign) || foreign.Owner != c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestConflictsOf(t *testing.T) {
	if got := conflictsOf(nil); got != nil {
		t.Errorf("no error gives %v", got)
	}
	if got := conflictsOf(apierrors.NewConflict(schema.GroupResource{}, "d", errors.New("changed meanwhile"))); got != nil {
		t.Errorf("another conflict gives %v", got)
	}
	if got := conflictsOf(conflict(metav1.StatusCause{Type: metav1.CauseTypeFieldManagerConflict, Field: ".a", Message: "odd"})); len(got) != 1 || got[0].Manager != "somebody" {
		t.Errorf("an odd message gives %v", got)
	}
}
