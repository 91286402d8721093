// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

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

func TestANewClassBeginsWithWhatItsWorkloadUsed(t *testing.T) {
	one, two := xds.Lesson{Type: xds.VirtualHostType, Name: "80/one"}, xds.Lesson{Type: xds.ClusterType, Name: "two"}
	known := map[string][]xds.Lesson{"v1": {one}, "v2": {two}}
	m := newMemory(func(class string) []xds.Lesson { return known[class] })
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
