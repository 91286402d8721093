// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

// fleet is proxies of which tests say how far they are.
type fleet struct {
	mu           sync.Mutex
	current, all int
	changes      uint64
}

func (f *fleet) set(a *Aggregator, current, all int, changes uint64) {
	f.mu.Lock()
	f.current, f.all, f.changes = current, all, changes
	f.mu.Unlock()
	a.Moved([]ir.Origin{route})
}

func (f *fleet) Settled(ir.Origin) (bool, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current == f.all, f.changes
}

func (f *fleet) Progress(ir.Origin) (current, all int, laggard string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current < f.all {
		laggard = "slow-1"
	}
	return f.current, f.all, laggard
}

// said is what was written of Programmed since the last look.
func said(w *recorder) string {
	var out []string
	for _, x := range w.take() {
		for _, c := range x.conditions {
			if c.Type == string(ir.Programmed) {
				out = append(out, fmt.Sprintf("%s/%s/%d %s", c.Status, c.Reason, c.ObservedGeneration, c.Message))
			}
		}
	}
	return strings.Join(out, "\n")
}

func TestProgrammedWaitsForTheProxies(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
		expect := func(wait time.Duration, want string) {
			t.Helper()
			time.Sleep(wait)
			if got := said(w); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		f := &fleet{current: 0, all: 3, changes: 1}
		a.Follow(f)
		projected(a, 1)
		a.Problems(nil)
		expect(grace/2, "")
		f.set(a, 3, 3, 1)
		expect(grace, "True/Programmed/1 3 of 3 proxies have it")

		// Proxies that come and go while nothing changes are not written about.
		f.set(a, 3, 4, 1)
		expect(time.Hour, "")
		f.set(a, 4, 4, 1)
		expect(time.Hour, "")

		// A laggard is named; its count is brought up to date now and then only.
		f.set(a, 1, 4, 2)
		projected(a, 2)
		a.Problems(nil)
		expect(2*time.Second, "False/Pending/2 1 of 4 proxies have it; slow-1 has not for 1s")
		f.set(a, 2, 4, 2)
		f.set(a, 3, 4, 2)
		expect(10*time.Second, "")
		expect(refresh, "False/Pending/2 3 of 4 proxies have it; slow-1 has not for 31s")
		f.set(a, 4, 4, 2)
		expect(time.Second, "True/Programmed/2 4 of 4 proxies have it")
		expect(time.Hour, "")
	})
}

func TestANewLeaderWritesNothingOfWhatIsDone(t *testing.T) {
	current := []Condition{
		{Type: "Accepted", Status: "True", Reason: "Accepted", ObservedGeneration: 1},
		{Type: "ResolvedRefs", Status: "True", Reason: "ResolvedRefs", ObservedGeneration: 1},
		{Type: "Programmed", Status: "True", Reason: "Programmed", ObservedGeneration: 1, Message: "9 of 9 proxies have it"},
	}
	inBubble(t, Options{Current: func(ir.Origin) Report { return Report{Conditions: current} }}, func(t *testing.T, a *Aggregator, w *recorder) {
		f := &fleet{current: 1, all: 2, changes: 1}
		a.Follow(f)
		projected(a, 1)
		a.Problems(nil)
		time.Sleep(time.Hour)
		f.set(a, 2, 2, 1)
		time.Sleep(time.Hour)
		if got := said(w); got != "" {
			t.Errorf("written %s", got)
		}
	})
}
