// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

// offline is a cluster whose reflectors never run; tests call its stores.
func offline(t *testing.T) (*Cluster, map[string]*source) {
	t.Helper()
	c, err := NewCluster(Options{
		Config: &rest.Config{Host: "http://127.0.0.1:1"}, Scope: projection.Scope{Cluster: "c", Domain: "cluster.local"},
		SecretNamespaces: []string{"gateways"}, Inbox: NewInbox(),
	})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*source{}
	for _, s := range c.sources {
		byName[s.resource] = s
	}
	return c, byName
}

func namespace(name, network, version string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, ResourceVersion: version, Labels: map[string]string{"topology.istio.io/network": network},
	}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEqualProjectionWakesNobody(t *testing.T) {
	c, sources := offline(t)
	store := sources["namespaces"].store
	must(t, store.Add(namespace("a", "n1", "1")))
	first := c.Drain().Namespaces["a"]
	<-c.Wake()
	changed := namespace("a", "n1", "2")
	changed.Annotations = map[string]string{"note": "new"}
	must(t, store.Update(changed))
	select {
	case <-c.Wake():
		t.Error("an annotation woke the mesh")
	default:
	}
	must(t, store.Update(namespace("a", "n2", "3")))
	if got := c.Drain().Namespaces["a"]; got == nil || got == first || got.Network != "n2" {
		t.Errorf("a change gave %+v", got)
	}
}

func TestListAfterAnOutageSendsDifferencesOnly(t *testing.T) {
	c, sources := offline(t)
	store := sources["namespaces"].store
	must(t, store.Replace([]any{namespace("same", "n", "1"), namespace("gone", "n", "1"), namespace("moved", "n", "1")}, "1"))
	c.Drain()
	must(t, store.Replace([]any{namespace("same", "n", "9"), namespace("moved", "m", "9"), namespace("new", "n", "9")}, "9"))
	want := map[string]*ir.Namespace{"gone": nil, "moved": {Name: "moved", Network: "m"}, "new": {Name: "new", Network: "n"}}
	if got := c.Drain().Namespaces; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDeletion(t *testing.T) {
	c, sources := offline(t)
	store := sources["namespaces"].store
	must(t, store.Delete(namespace("never", "n", "1")))
	if got := c.Drain().Namespaces; len(got) != 0 {
		t.Errorf("deleting what was never there gave %v", got)
	}
	must(t, store.Add(namespace("a", "n", "1")))
	must(t, store.Delete(namespace("a", "n", "2")))
	if row, told := c.Drain().Namespaces["a"]; !told || row != nil {
		t.Error("the deletion was not told")
	}
}

func TestWrongType(t *testing.T) {
	_, sources := offline(t)
	if err := sources["namespaces"].store.Add(&corev1.Pod{}); err == nil {
		t.Error("a store of namespaces took a pod")
	}
}
