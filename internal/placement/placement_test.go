// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func owner(kind, name string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{Kind: kind, Name: name, Controller: new(true)}}
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		pod        metav1.ObjectMeta
		kind, name string
	}{
		{metav1.ObjectMeta{GenerateName: "web-5d4f-", Labels: map[string]string{"pod-template-hash": "5d4f"}, OwnerReferences: owner("ReplicaSet", "web-5d4f")}, "Deployment", "web"},
		{metav1.ObjectMeta{GenerateName: "bare-", OwnerReferences: owner("ReplicaSet", "bare")}, "ReplicaSet", "bare"},
		{metav1.ObjectMeta{GenerateName: "x-", Labels: map[string]string{"pod-template-hash": "5d4f"}, OwnerReferences: owner("ReplicaSet", "other")}, "ReplicaSet", "other"},
		{metav1.ObjectMeta{Name: "db-0", GenerateName: "db-", OwnerReferences: owner("StatefulSet", "db")}, "StatefulSet", "db"},
		{metav1.ObjectMeta{GenerateName: "nightly-29384756-", OwnerReferences: owner("Job", "nightly-29384756")}, "CronJob", "nightly"},
		{metav1.ObjectMeta{GenerateName: "once-", OwnerReferences: owner("Job", "once")}, "Job", "once"},
		{metav1.ObjectMeta{Name: "alone"}, "Pod", "alone"},
		{metav1.ObjectMeta{GenerateName: "made-"}, "Pod", "made"},
		{metav1.ObjectMeta{Name: "made-x7k2p", GenerateName: "made-"}, "Pod", "made"},
		{metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{{Kind: "Node", Name: "n"}}}, "Pod", "owned"},
	} {
		c.pod.Namespace = "app"
		want := Workload{"app", c.kind, c.name}
		if got := Of(&metav1.PartialObjectMetadata{ObjectMeta: c.pod}); got != want {
			t.Errorf("%v: got %v, want %v", c.pod, got, want)
		}
	}
}

// TestPlace holds the number still: the operator of one release and the control plane of another must agree.
func TestPlace(t *testing.T) {
	// printf app/Deployment/web | sha256sum
	const want = "8882bdce25fc226c"
	got := Workload{"app", "Deployment", "web"}.Place()
	if got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if (Workload{"app", "StatefulSet", "web"}).Place() == got {
		t.Error("the kind does not count")
	}
	for _, text := range []string{"", "0", "00000000000000000", "000000000000000G", "00000000000000AB", "+00000000000000a", "0x00000000000001"} {
		if p, err := ParsePlace(text); err == nil {
			t.Errorf("%q became %s", text, p)
		}
	}
	if got := Place(10).String(); got != "000000000000000a" {
		t.Errorf("ten is %s", got)
	}
}

func TestSplitTakes(t *testing.T) {
	w := Workload{"app", "Deployment", "web"}
	for _, c := range []struct {
		upTo Place
		want bool
	}{{0, false}, {w.Place() - 1, false}, {w.Place(), true}, {^Place(0), true}} {
		if got := (Split{Revision: "next", UpTo: c.upTo}).Takes(w); got != c.want {
			t.Errorf("up to %s: %v", c.upTo, got)
		}
	}
}

func TestPath(t *testing.T) {
	for text, want := range map[string]Path{
		"/inject":            {},
		"/inject/as/default": {Name: "default"},
		"/inject/as/split":   {Name: "split"},
		"/inject/as/stable/split/stable-5f/00000000000000ff": {Name: "stable", Split: &Split{"stable-5f", 255}},
	} {
		got, err := ParsePath(text)
		if err != nil || got.Name != want.Name || (got.Split == nil) != (want.Split == nil) || got.Split != nil && *got.Split != *want.Split {
			t.Errorf("%s became %+v, %v", text, got, err)
		}
		if want.String() != text {
			t.Errorf("%+v became %s", want, want)
		}
	}
	for _, text := range []string{
		"", "/", "/inject/", "/inject/as", "/inject/as/", "/inject/as/Upper", "/inject/as/a.b", "/inject/as/a/", "/inject/as/a/split", "/inject/as/a/split/b",
		"/inject/as/a/split/b/ff", "/inject/as/a/split/b.evil/00000000000000ff", "/inject/as/a/split/b/00000000000000ff/", "/inject/as/a/other/b/00000000000000ff",
		"/inject/as//split/b/00000000000000ff", "/inject/as/" + strings.Repeat("a", 64), "//inject", "/validate",
	} {
		if p, err := ParsePath(text); err == nil {
			t.Errorf("%q became %+v", text, p)
		}
	}
}

func TestRevisionOf(t *testing.T) {
	for value, want := range map[string]string{`{"initContainers":["istio-proxy"],"revision":"stable-5f"}`: "stable-5f", "": "", "{": "", `{"revision":7}`: ""} {
		pod := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationState: value}}}
		if got := RevisionOf(pod); got != want {
			t.Errorf("%s: got %q", value, got)
		}
	}
}

// FuzzPath: what is understood is written the same way again, and the API server takes it.
func FuzzPath(f *testing.F) {
	for _, text := range []string{"/inject", "/inject/as/default", "/inject/as/a/split/b/00000000000000ff", "/inject/as/a/split/b/00000000000000FF", "/inject//as/a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		if p.String() != text {
			t.Fatalf("%q became %q", text, p)
		}
		for part := range strings.SplitSeq(text[1:], "/") {
			if problems := validation.IsDNS1123Subdomain(part); len(problems) > 0 {
				t.Fatalf("%q: the API server refuses %q: %v", text, part, problems)
			}
		}
	})
}
