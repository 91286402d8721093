// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// voice keeps what is told.
type voice struct {
	mu   sync.Mutex
	said []string
}

func (v *voice) Tell(_ context.Context, object ir.Origin, p ir.Problem) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.said = append(v.said, fmt.Sprintf("%s %s %s", object, p.Reason, p))
	return nil
}

func (v *voice) take() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer func() { v.said = nil }()
	return strings.Join(v.said, "; ")
}

// TestIngressesAreToldOf: what is wrong with an Ingress that is served is told once, and
// again when it comes back; of the Ingresses of others nothing is told.
func TestIngressesAreToldOf(t *testing.T) {
	ours := ir.Origin{Kind: "Ingress", Namespace: "shop", Name: "ours"}
	theirs := ir.Origin{Kind: "Ingress", Namespace: "shop", Name: "theirs"}
	said := &voice{}
	inBubble(t, Options{Teller: said}, func(t *testing.T, a *Aggregator, _ *recorder) {
		problem := ir.Problem{Origin: ours, Condition: ir.Programmed, Reason: "CredentialNotFound", Field: "tls", Message: "there is no Secret"}
		commit := func(problems ...ir.Problem) string {
			a.Projected(map[ir.Origin]intake.ConfigStatus{ours: {Generation: 1}, theirs: {Generation: 1, Problems: []ir.Problem{problem}}})
			a.Allocated(map[ir.Origin]*ir.Allocated{ours: {}})
			a.Problems(map[ir.Origin][]ir.Problem{ours: problems, theirs: {}})
			time.Sleep(time.Second)
			return said.take()
		}
		const want = "Ingress/shop/ours CredentialNotFound tls: there is no Secret"
		for i, c := range []struct {
			problems []ir.Problem
			want     string
		}{{nil, ""}, {[]ir.Problem{problem}, want}, {[]ir.Problem{problem}, ""}, {nil, ""}, {[]ir.Problem{problem}, want}} {
			if got := commit(c.problems...); got != c.want {
				t.Errorf("step %d: told %q, want %q", i, got, c.want)
			}
		}
	})
}

func TestEvent(t *testing.T) {
	ingress := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
		"metadata": map[string]any{"namespace": "shop", "name": "web", "uid": "1234"},
	}}
	events := schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{events: "EventList"}, ingress)
	about := ir.Origin{Kind: "Ingress", Namespace: "shop", Name: "web"}
	for range 2 { // the second is that of another leader
		if err := NewTeller(client, "replica-1").Tell(t.Context(), about, ir.Problem{Reason: "PortNotFound", Message: strings.Repeat("long ", 400)}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.Resource(events).Namespace("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(got.Items) != 1 {
		t.Fatalf("%d events, %v", len(got.Items), err)
	}
	event := got.Items[0].Object
	if uid, _, _ := unstructured.NestedString(event, "regarding", "uid"); uid != "1234" || event["reason"] != "PortNotFound" || len(event["note"].(string)) > 1024 {
		t.Errorf("got %v", event)
	}
}
