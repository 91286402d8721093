// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/report"
)

// TestRefusalsOfAnotherReplica: what a proxy of one replica refuses comes into the
// status that another writes, and leaves it with the version, or with the replica.
func TestRefusalsOfAnotherReplica(t *testing.T) {
	maps := fake.NewClientset().CoreV1().ConfigMaps("system")
	leader, other := New(Options{Writer: &recorder{}}), New(Options{Writer: &recorder{}})
	for _, a := range []*Aggregator{leader, other} {
		projected(a, 1)
		a.Problems(nil)
	}
	reading := &Board{Client: maps, Name: "refusals", Replica: "leader", Aggregator: leader}
	writing := &Board{Client: maps, Name: "refusals", Replica: "other", Revision: "blue", Aggregator: other}
	seen := map[string]sighting{}
	now := time.Now()
	exchange := func() string {
		t.Helper()
		if err := writing.post(t.Context(), other.Refusals()); err != nil {
			t.Fatal(err)
		}
		if err := reading.read(t.Context(), seen, now); err != nil {
			t.Fatal(err)
		}
		o, _ := leader.known(route)
		return summary(conditions(route, &o))
	}
	const fine, refused = "Programmed=True/Programmed", "Programmed=False/RejectedByProxy"
	if got := exchange(); !strings.Contains(got, fine) {
		t.Errorf("at first %s", got)
	}
	other.Rejected(route, "80/web", "n", "no")
	if got := exchange(); !strings.Contains(got, refused) {
		t.Errorf("refused: %s", got)
	}
	if posted, err := maps.Get(t.Context(), "refusals", metav1.GetOptions{}); err != nil || !strings.Contains(posted.Data["other"], `"revision":"blue","refusals":[{"object":"`+route.Object().String()+`","resource":"80/web","proxy":"n","message":"no"}]`) {
		t.Errorf("posted %v, %v", posted.Data, err)
	}
	other.Superseded("80/web")
	if got := exchange(); !strings.Contains(got, fine) {
		t.Errorf("another version: %s", got)
	}
	other.Rejected(route, "80/web", "n", "no")
	exchange()
	now = now.Add(staleness)
	if err := reading.read(t.Context(), seen, now); err != nil {
		t.Fatal(err)
	}
	if o, _ := leader.known(route); len(o.peers) != 0 {
		t.Error("a replica that is gone is still believed")
	}
	leader.Peers([]report.Refusal{{Object: "nonsense"}, {Object: ir.Origin{Kind: "K", Name: "unknown"}.String()}})
	if len(leader.shunned) != 0 {
		t.Errorf("kept %v", leader.shunned)
	}
}
