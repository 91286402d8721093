// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

var route = ir.Origin{Kind: "VirtualService", Namespace: "shop", Name: "web"}

// recorder is a Writer that keeps what it was told.
type recorder struct {
	mu     sync.Mutex
	writes []write
	fail   []error // answers to the next writes
}

type write struct {
	object     ir.Origin
	conditions []Condition
	addresses  []ir.HostAddress
}

func (r *recorder) Write(_ context.Context, object ir.Origin, _ int64, report Report) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.fail) > 0 {
		err := r.fail[0]
		r.fail = r.fail[1:]
		return err
	}
	r.writes = append(r.writes, write{object, slices.Clone(report.Conditions), report.Addresses})
	return nil
}

func (r *recorder) take() []write {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.writes
	r.writes = nil
	return out
}

// summary is TYPE=STATUS/REASON of each condition.
func summary(conditions []Condition) string {
	var parts []string
	for _, c := range conditions {
		parts = append(parts, c.Type+"="+c.Status+"/"+c.Reason)
	}
	return strings.Join(parts, " ")
}

func problem(condition ir.Condition, severity ir.Severity, reason string) ir.Problem {
	o := route
	o.Section = "http[0]"
	return ir.Problem{Origin: o, Condition: condition, Severity: severity, Reason: reason, Field: "spec.x", Message: "is wrong"}
}

func projected(a *Aggregator, generation int64, problems ...ir.Problem) {
	a.Projected(map[ir.Origin]intake.ConfigStatus{route: {Generation: generation, Problems: problems}})
}

func TestConditions(t *testing.T) {
	const fine = "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Programmed=True/Programmed"
	for _, c := range []struct {
		name     string
		problems []ir.Problem
		rejected string
		want     string
	}{
		{"fine", nil, "", fine},
		{
			"error",
			[]ir.Problem{problem(ir.Accepted, ir.Error, "Invalid")},
			"",
			"Accepted=False/Invalid ResolvedRefs=True/ResolvedRefs Programmed=False/Invalid",
		},
		{
			"warning",
			[]ir.Problem{problem(ir.Accepted, ir.Warning, "NotServed")},
			"",
			"Accepted=True/AcceptedWithWarnings ResolvedRefs=True/ResolvedRefs Programmed=True/Programmed",
		},
		{
			"reference",
			[]ir.Problem{problem(ir.ResolvedRefs, ir.Error, "HostNotFound")},
			"",
			"Accepted=True/Accepted ResolvedRefs=False/HostNotFound Programmed=False/HostNotFound",
		},
		{
			"conflict",
			[]ir.Problem{problem(ir.Conflicted, ir.Warning, "Older")},
			"",
			"Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Conflicted=True/Older Programmed=True/Programmed",
		},
		{
			"not programmed",
			[]ir.Problem{problem(ir.Programmed, ir.Error, "CredentialNotFound"), problem(ir.Accepted, ir.Error, "Invalid")},
			"",
			"Accepted=False/Invalid ResolvedRefs=True/ResolvedRefs Programmed=False/CredentialNotFound",
		},
		{
			"refused by a proxy", nil, "bad cluster",
			"Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Programmed=False/RejectedByProxy",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := New(Options{Writer: &recorder{}})
			projected(a, 3, c.problems...)
			a.Problems(nil)
			if c.rejected != "" {
				a.Rejected(route, "outbound|80||web", "n", c.rejected)
			}
			o, ok := a.known(route)
			if !ok {
				t.Fatal("nothing is known")
			}
			got := conditions(route, &o)
			if summary(got) != c.want {
				t.Errorf("got  %s\nwant %s", summary(got), c.want)
			}
			for _, x := range got {
				if x.ObservedGeneration != 3 {
					t.Errorf("%s is of generation %d", x.Type, x.ObservedGeneration)
				}
			}
		})
	}
}

func TestPolicyHasNoReferences(t *testing.T) {
	got := conditions(ir.Origin{Kind: "PeerAuthentication"}, &object{})
	if want := "Accepted=True/Accepted Programmed=True/Programmed"; summary(got) != want {
		t.Errorf("got %s, want %s", summary(got), want)
	}
}

func TestMessageIsBounded(t *testing.T) {
	o := &object{}
	for range 200 {
		p := problem(ir.Accepted, ir.Error, "Invalid")
		p.Field = strings.Repeat("é", len(o.projection)+1)
		o.projection = append(o.projection, p)
	}
	for _, c := range conditions(route, o) {
		if len(c.Message) > maxMessage+40 {
			t.Errorf("%s has a message of %d bytes", c.Type, len(c.Message))
		}
		if strings.ToValidUTF8(c.Message, "") != c.Message {
			t.Errorf("%s was cut inside a rune", c.Type)
		}
	}
}

// inBubble runs a test with a started aggregator and time of its own.
func inBubble(t *testing.T, options Options, test func(t *testing.T, a *Aggregator, w *recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &recorder{}
		options.Writer = w
		a := New(options)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Start(ctx) }()
		synctest.Wait()
		test(t, a, w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsSaidBeforeTheCommit(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
		projected(a, 1)
		time.Sleep(time.Second)
		if got := w.take(); len(got) != 0 {
			t.Errorf("written before the rows were published: %v", got)
		}
		a.Problems(nil)
		time.Sleep(time.Second)
		if got := w.take(); len(got) != 1 || got[0].object != route {
			t.Errorf("written %v", got)
		}
	})
}

func TestWrittenOnTransitionOnly(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
		bad := problem(ir.ResolvedRefs, ir.Error, "HostNotFound")
		projected(a, 1)
		a.Problems(map[ir.Origin][]ir.Problem{route: {bad}})
		time.Sleep(time.Minute)
		first := w.take()
		if len(first) != 1 || !strings.Contains(summary(first[0].conditions), "ResolvedRefs=False/HostNotFound") {
			t.Fatalf("written %v", first)
		}
		a.Problems(map[ir.Origin][]ir.Problem{route: {bad}})
		time.Sleep(time.Minute)
		if again := w.take(); len(again) != 0 {
			t.Errorf("the same problem was written again: %v", again)
		}
		a.Problems(map[ir.Origin][]ir.Problem{route: nil})
		time.Sleep(time.Minute)
		second := w.take()
		if len(second) != 1 || strings.Contains(summary(second[0].conditions), "False") {
			t.Fatalf("written %v", second)
		}
		for i, c := range second[0].conditions {
			before := first[0].conditions[i]
			if moved := c.Status != before.Status; moved == c.LastTransitionTime.Equal(before.LastTransitionTime) {
				t.Errorf("%s: status %s -> %s, transition %v -> %v", c.Type, before.Status, c.Status, before.LastTransitionTime, c.LastTransitionTime)
			}
		}
	})
}

func TestNothingIsWrittenWhenTheObjectSaysItAlready(t *testing.T) {
	current := []Condition{
		{Type: "Accepted", Status: "True", Reason: "Accepted", ObservedGeneration: 1},
		{Type: "ResolvedRefs", Status: "True", Reason: "ResolvedRefs", ObservedGeneration: 1},
		{Type: "Programmed", Status: "True", Reason: "Programmed", ObservedGeneration: 1},
	}
	inBubble(t, Options{Current: func(ir.Origin) Report { return Report{Conditions: current} }}, func(t *testing.T, a *Aggregator, w *recorder) {
		projected(a, 1)
		a.Problems(nil)
		time.Sleep(time.Second)
		if got := w.take(); len(got) != 0 {
			t.Errorf("written %v", got)
		}
		projected(a, 2)
		a.Problems(nil)
		time.Sleep(time.Second)
		if got := w.take(); len(got) != 1 {
			t.Errorf("a new generation was written %d times", len(got))
		}
	})
}

// TestAddressesAreWritten: when they came, when they go, and not again.
func TestAddressesAreWritten(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
		commit := func(got *ir.Allocated) []write {
			a.Allocated(map[ir.Origin]*ir.Allocated{route: got})
			a.Problems(nil)
			time.Sleep(time.Second)
			return w.take()
		}
		projected(a, 1)
		some := &ir.Allocated{Addresses: []ir.HostAddress{{Host: "a.b", Addr: netip.MustParseAddr("240.240.0.1")}}}
		if got := commit(some); len(got) != 1 || !slices.Equal(got[0].addresses, some.Addresses) {
			t.Errorf("written %v", got)
		}
		if got := commit(some); len(got) != 0 {
			t.Errorf("written again: %v", got)
		}
		if got := commit(nil); len(got) != 1 || len(got[0].addresses) != 0 {
			t.Errorf("written %v", got)
		}
	})
}

// TestWhereIngressesAreFound: the addresses of the gateway's Service are written to
// Ingresses that are served, and nothing to those of others.
func TestWhereIngressesAreFound(t *testing.T) {
	ours := ir.Origin{Kind: "Ingress", Namespace: "shop", Name: "ours"}
	theirs := ir.Origin{Kind: "Ingress", Namespace: "shop", Name: "theirs"}
	options := Options{Current: FromStatus(func(o ir.Origin) []byte { return []byte(`{"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}`) })}
	inBubble(t, options, func(t *testing.T, a *Aggregator, w *recorder) {
		commit := func(got *ir.Allocated) []write {
			a.Projected(map[ir.Origin]intake.ConfigStatus{ours: {Generation: 1}, theirs: {Generation: 1}})
			a.Allocated(map[ir.Origin]*ir.Allocated{ours: got})
			a.Problems(map[ir.Origin][]ir.Problem{ours: {}, theirs: {}})
			time.Sleep(time.Second)
			return w.take()
		}
		some := func(addr string) *ir.Allocated {
			return &ir.Allocated{Addresses: []ir.HostAddress{{Addr: netip.MustParseAddr(addr)}}}
		}
		if got := commit(some("192.0.2.1")); len(got) != 0 {
			t.Errorf("written %v, which was there already", got)
		}
		if got := commit(some("192.0.2.2")); len(got) != 1 || got[0].object != ours || !slices.Equal(got[0].addresses, some("192.0.2.2").Addresses) {
			t.Errorf("written %v", got)
		}
		if got := commit(nil); len(got) != 1 || got[0].object != ours || len(got[0].addresses) != 0 {
			t.Errorf("written %v when it is served no more", got)
		}
		if got := commit(nil); len(got) != 0 {
			t.Errorf("written again: %v", got)
		}
	})
}

func TestRejectionsEndWithTheirVersion(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
		projected(a, 1)
		a.Problems(nil)
		time.Sleep(time.Second)
		w.take()
		a.Rejected(route, "80/web", "n", "no")
		a.Rejected(route, "80/web", "m", "no") // by another proxy
		time.Sleep(time.Second)
		if got := w.take(); len(got) != 1 || !strings.Contains(summary(got[0].conditions), "Programmed=False/RejectedByProxy") {
			t.Fatalf("written %v", got)
		}
		a.Superseded("another")
		time.Sleep(time.Second)
		if got := w.take(); len(got) != 0 {
			t.Errorf("another resource changed it: %v", got)
		}
		a.Superseded("80/web")
		time.Sleep(time.Second)
		if got := w.take(); len(got) != 1 || !strings.Contains(summary(got[0].conditions), "Programmed=True") {
			t.Errorf("written %v", got)
		}
	})
}

func TestFailedWritesAreTriedAgain(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
		w.fail = []error{errors.New("away"), errors.New("away"), errors.New("away")}
		projected(a, 1)
		a.Problems(nil)
		time.Sleep(time.Minute)
		if got := w.take(); len(got) != 1 {
			t.Errorf("written %d times", len(got))
		}
	})
}

func TestDeletedObjectsAreLeftAlone(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
		w.fail = []error{apierrors.NewNotFound(schema.GroupResource{Resource: "virtualservices"}, "web")}
		projected(a, 1)
		a.Problems(nil)
		time.Sleep(time.Minute)
		a.Projected(map[ir.Origin]intake.ConfigStatus{route: {Deleted: true}})
		a.Problems(map[ir.Origin][]ir.Problem{route: nil})
		a.Rejected(route, "80/web", "n", "no")
		time.Sleep(time.Minute)
		if got := w.take(); len(got) != 0 {
			t.Errorf("written %v", got)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.objects)+len(a.rejected)+len(a.refusers)+len(a.dirty) != 0 {
			t.Errorf("left behind: %v %v %v", a.objects, a.rejected, a.dirty)
		}
	})
}

func TestWritesArePaced(t *testing.T) {
	inBubble(t, Options{WritesPerSecond: 10}, func(t *testing.T, a *Aggregator, w *recorder) {
		all := map[ir.Origin]intake.ConfigStatus{}
		for i := range 200 {
			all[ir.Origin{Kind: "VirtualService", Namespace: "shop", Name: strings.Repeat("x", i+1)}] = intake.ConfigStatus{Generation: 1}
		}
		a.Projected(all)
		a.Problems(nil)
		time.Sleep(5 * time.Second)
		if got := len(w.take()); got < 40 || got > 80 {
			t.Errorf("%d writes in 5 s at 10/s with a burst of 20", got)
		}
		time.Sleep(time.Minute)
		if got := len(w.take()); got < 120 {
			t.Errorf("only %d more followed", got)
		}
	})
}

func TestParse(t *testing.T) {
	const text = `{"observedGeneration":"4","conditions":[
		{"type":"Programmed","status":"True","reason":"Programmed","observedGeneration":"4","lastTransitionTime":"2026-01-02T03:04:05Z"},
		{"type":"Reconciled","status":"True"},
		{"type":"Accepted","status":"False","reason":"Invalid","message":"m","observedGeneration":4}],
		"addresses":[{"value":"240.240.0.1","host":"api.example.com"}]}`
	got := Parse([]byte(text))
	want := Report{Conditions: []Condition{
		{Type: "Accepted", Status: "False", Reason: "Invalid", Message: "m", ObservedGeneration: 4},
		{Type: "Programmed", Status: "True", Reason: "Programmed", ObservedGeneration: 4, LastTransitionTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	}, Addresses: []ir.HostAddress{{Host: "api.example.com", Addr: netip.MustParseAddr("240.240.0.1")}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	for _, bad := range []string{"", "{", `{"conditions":7}`} {
		if got := Parse([]byte(bad)); !reflect.DeepEqual(got, Report{}) {
			t.Errorf("%q read as %v", bad, got)
		}
	}
}
