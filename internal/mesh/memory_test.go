// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshwright/meshwright/internal/notebook"
	"github.com/meshwright/meshwright/internal/xds"
)

func nodeOf(t *testing.T, workload string) *corev3.Node {
	t.Helper()
	meta, err := structpb.NewStruct(map[string]any{"NAMESPACE": "books", "WORKLOAD_NAME": workload})
	if err != nil {
		t.Fatal(err)
	}
	return &corev3.Node{Id: "sidecar~10.0.0.1~a.books~books.svc.cluster.local", Metadata: meta}
}

// classroom is a hub whose classes know what the test says, and where all exists
// but what is gone.
type classroom struct {
	known  map[string][]xds.Lesson
	taught map[string][]xds.Lesson
	gone   map[xds.Lesson]bool
}

func (c classroom) Lessons(class string) []xds.Lesson { return c.known[class] }
func (c classroom) Learned() []string                 { return slices.Sorted(maps.Keys(c.known)) }

func (c classroom) Teach(class string, lessons []xds.Lesson) { c.taught[class] = lessons }

func (c classroom) Extant(lessons []xds.Lesson) []xds.Lesson {
	return slices.DeleteFunc(slices.Clone(lessons), func(l xds.Lesson) bool { return c.gone[l] })
}

func TestANewClassBeginsWithWhatItsWorkloadUsed(t *testing.T) {
	one, two := xds.Lesson{Type: xds.VirtualHostType, Name: "80/one"}, xds.Lesson{Type: xds.ClusterType, Name: "two"}
	known := map[string][]xds.Lesson{"v1": {one}, "v2": {two}}
	m := newMemory(classroom{known: known, taught: map[string][]xds.Lesson{}})
	expect := func(class string, want ...xds.Lesson) {
		t.Helper()
		classes := []xds.Class{{Key: class, Scope: &xds.Scope{Asks: true}}, {Key: class, Scope: &xds.Scope{}}, {Key: class}}
		m.remind(classes)
		if got := classes[0].Scope.Lessons; !slices.Equal(got, want) {
			t.Errorf("class %s begins with %v, want %v", class, got, want)
		}
		if len(classes[1].Scope.Lessons) > 0 {
			t.Errorf("class %s, which must not ask, begins with %v", class, classes[1].Scope.Lessons)
		}
	}
	m.join("v1", nodeOf(t, "reviews"))
	m.join("other", nodeOf(t, "ratings"))
	expect("v1")
	m.join("v2", nodeOf(t, "reviews"))
	expect("v2", one)
	m.leave("v1")
	known["v1"] = nil
	expect("v2", one)
	m.leave("v2")
	known["v2"] = nil
	m.join("v3", nodeOf(t, "reviews"))
	expect("v3", two, one)
	expect("other")
}

func TestReplicasLearnOfEachOther(t *testing.T) {
	reviews := notebook.Workload{Namespace: "books", Name: "reviews"}
	one, two, old := xds.Lesson{Type: xds.VirtualHostType, Name: "80/one"}, xds.Lesson{Type: xds.ClusterType, Name: "two"}, xds.Lesson{Type: xds.ClusterType, Name: "old"}
	hub := classroom{known: map[string][]xds.Lesson{"v1": {one}}, taught: map[string][]xds.Lesson{}, gone: map[xds.Lesson]bool{old: true}}
	m := newMemory(hub)
	m.join("v1", nodeOf(t, "reviews"))
	if !m.HasProxies(reviews) || m.HasProxies(notebook.Workload{Name: "reviews"}) {
		t.Error("it does not know who has proxies")
	}
	m.Learn(map[notebook.Workload]notebook.Uses{reviews: {Clusters: []string{"old", "two"}}})
	if got, want := hub.taught["v1"], []xds.Lesson{old, two}; !slices.Equal(got, want) {
		t.Errorf("a class with proxies is taught %v, want %v", got, want)
	}
	m.leave("v1")
	if got, want := m.Changed(), (map[notebook.Workload]notebook.Uses{reviews: {VirtualHosts: []string{"80/one"}, Clusters: []string{"two"}}}); !reflect.DeepEqual(got, want) {
		t.Errorf("to be kept is %v, want %v", got, want)
	}
	if got := m.Changed(); len(got) > 0 {
		t.Errorf("%v is to be kept again", got)
	}
	if m.join("v1", nodeOf(t, "reviews")); !slices.Equal(hub.taught["v1"], []xds.Lesson{two, one}) {
		t.Errorf("a class that had no proxies for a moment is taught %v", hub.taught["v1"])
	}
}
