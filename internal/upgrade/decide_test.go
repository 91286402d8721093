// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
)

var (
	one   = v1alpha1.Identity{Version: "v1", Tag: "one"}
	two   = v1alpha1.Identity{Version: "v2", Tag: "two"}
	three = v1alpha1.Identity{Version: "v2", Tag: "three"}
)

// app is a workload in the simulated cluster.
type app struct {
	placement.Workload
	labels labels.Set
	mark   string
	before *string
	// pods have proxies of this revision; next are those that come up, of a
	// revision that was fixed when they were created.
	pods, next string
	ready      int // ticks until next takes over; negative: never
	stuck      string
	blocked    string
}

// cluster is a simulation of what carries decisions out.
type cluster struct {
	t        *testing.T
	random   *rand.Rand
	now      time.Time
	strategy v1alpha1.UpgradeStrategy
	wanted   v1alpha1.Identity
	good     *v1alpha1.Identity
	layout   *Layout
	warm     map[string]int // ticks until a revision is ready
	apps     []*app
	status   *v1alpha1.UpgradeStatus
	unused   map[string]time.Time
	verdict  Verdict
	// bad identities never come up: their control planes, their proxies, their gateways.
	badControl, badProxy, badGateway map[v1alpha1.Identity]bool
	blind                            bool // usage is not known
	restarts, most, made             int
	outcomes                         []Outcome
}

func newCluster(t *testing.T, seed uint64, count int) *cluster {
	none := int32(0)
	c := &cluster{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0), wanted: one, warm: map[string]int{},
		badControl: map[v1alpha1.Identity]bool{}, badProxy: map[v1alpha1.Identity]bool{}, badGateway: map[v1alpha1.Identity]bool{},
		verdict: Verdict{Good: true},
		strategy: v1alpha1.UpgradeStrategy{Type: v1alpha1.Canary, Canary: &v1alpha1.CanaryStrategy{
			Steps: []v1alpha1.CanaryStep{
				{Percent: new(int32(10)), SoakSeconds: &none}, {Percent: new(int32(50)), SoakSeconds: &none}, {Percent: new(int32(100)), SoakSeconds: &none},
			},
			MaxUnavailable: &intstr.IntOrString{IntVal: 3},
		}},
	}
	for range count {
		c.create().pods = "default"
	}
	c.run(10)
	return c
}

// create adds a workload, whose pods get the proxy that pods get now.
func (c *cluster) create() *app {
	i := c.made
	c.made++
	a := &app{
		Workload: placement.Workload{Namespace: fmt.Sprintf("ns%d", i%3), Kind: "Deployment", Name: fmt.Sprintf("app%d", i)},
		labels:   labels.Set{"tier": fmt.Sprint(i % 3)},
	}
	if c.layout != nil {
		a.pods = c.injector(a)
	}
	c.apps = append(c.apps, a)
	return a
}

// disturb lets something happen that has nothing to do with the upgrade.
func (c *cluster) disturb() {
	r := c.random
	switch r.IntN(10) {
	case 0:
		c.create()
	case 1:
		if len(c.apps) > 1 {
			at := r.IntN(len(c.apps))
			c.apps = slices.Delete(c.apps, at, at+1)
		}
	case 2:
		c.apps[r.IntN(len(c.apps))].blocked = []string{"", "PodDisruptionBudget b allows no disruption now"}[r.IntN(2)]
	case 3:
		c.verdict = []Verdict{{Good: true}, {Missing: "Prometheus is away"}}[r.IntN(2)]
	case 4: // Somebody deletes the Deployment of the control plane.
		c.warm[c.layout.Entry] = 1 + r.IntN(5)
	}
}

// calm ends what disturbs.
func (c *cluster) calm() {
	c.verdict = Verdict{Good: true}
	for _, a := range c.apps {
		a.blocked = ""
	}
}

// injector is the revision whose proxy a pod gets that is created now.
func (c *cluster) injector(a *app) string {
	if m := c.layout.Move; m != nil && m.takes(Workload{Workload: a.Workload, Place: a.Place(), Labels: a.labels}) {
		return m.Revision
	}
	return c.layout.Entry
}

func (c *cluster) world() World {
	w := World{
		Now: c.now, Name: "default", Wanted: c.wanted, Strategy: c.strategy, Installed: c.layout, Status: c.status,
		Unused: c.unused, Verdict: c.verdict, Good: c.good, Revisions: map[string]Revision{}, Usage: map[string]int{},
	}
	if c.layout != nil {
		for name, identity := range c.layout.Identities {
			w.Revisions[name] = Revision{Ready: c.warm[name] <= 0 && !c.badControl[identity], Message: "its pods crash"}
		}
		frame := Revision{Ready: c.warm["default"] <= 0 && c.warm["gateways"] <= 0 && !c.badGateway[c.layout.Gateways.Identity], Message: "a gateway crashes"}
		if identity, has := c.layout.Identities["default"]; has && c.badControl[identity] {
			frame.Ready = false
		}
		w.Revisions["default"] = frame
	}
	for _, a := range c.apps {
		seen := Workload{Workload: a.Workload, Place: a.Place(), Labels: a.labels, Mark: a.mark, Before: a.before, Pods: map[string]int{a.pods: 2}, Settled: a.next == "", Stuck: a.stuck, Blocked: a.blocked}
		if a.next != "" {
			seen.Pods[a.next]++
			if a.ready < 0 {
				seen.Broken = "pod x: container istio-proxy: CrashLoopBackOff"
			}
		}
		w.Workloads = append(w.Workloads, seen)
		for revision := range seen.Pods {
			w.Usage[revision]++
		}
	}
	slices.SortFunc(w.Workloads, func(a, b Workload) int {
		if a.Place < b.Place {
			return -1
		}
		return 1
	})
	if c.blind {
		w.Usage = nil
	}
	return w
}

// tick decides, carries out, possibly only a part of it, and lets time pass.
func (c *cluster) tick(whole bool) {
	c.check()
	d := Decide(c.world())
	if c.layout == nil || !d.Layout.Equal(*c.layout) {
		for name, identity := range d.Layout.Identities {
			if c.layout == nil || c.layout.Identities[name] != identity {
				c.warm[name] = 1 + c.random.IntN(3)
			}
		}
		if c.layout != nil && !same(c.layout.Gateways, d.Layout.Gateways) {
			c.warm["gateways"] = 1 + c.random.IntN(3)
		}
		for _, a := range c.apps {
			for _, revision := range []string{a.pods, a.next} {
				if _, there := d.Layout.Identities[revision]; c.layout != nil && revision != "" && !there {
					c.t.Fatalf("%s loses its control plane %s", a, revision)
				}
			}
		}
		c.layout = &d.Layout
	}
	for _, r := range d.Restarts {
		if !whole && c.random.IntN(2) == 0 {
			break // killed
		}
		c.restart(r)
	}
	if whole || c.random.IntN(2) == 0 {
		c.status, c.unused = d.Status, d.Unused
		if d.Outcome != "" {
			c.outcomes = append(c.outcomes, d.Outcome)
		}
		if d.Status == nil {
			good := d.Layout.Identities[d.Layout.Entry]
			c.good = &good
		}
	}
	c.now = c.now.Add(2 * time.Second)
	for name := range c.warm {
		c.warm[name]--
	}
	for _, a := range c.apps {
		if a.next == "" || a.ready < 0 {
			continue
		}
		if a.ready--; a.ready <= 0 {
			a.pods, a.next = a.next, ""
		}
	}
}

func (c *cluster) restart(r Restart) {
	at := slices.IndexFunc(c.apps, func(a *app) bool { return a.Workload == r.Workload })
	a := c.apps[at]
	if a.stuck != "" || a.blocked != "" && a.next == "" {
		c.t.Fatalf("%s cannot be restarted, and is", a)
	}
	if c.warm[c.layout.Entry] > 0 && a.next == "" {
		c.t.Fatalf("%s is restarted while the control plane %s is away", a, c.layout.Entry)
	}
	before := a.mark
	a.mark, a.before = r.Mark, r.Before
	if before == r.Mark {
		return
	}
	c.restarts++
	revision := c.injector(a)
	if a.next != "" && a.before == nil {
		// The former template: its pods never left.
		a.next = ""
		return
	}
	a.next, a.ready = revision, 1+c.random.IntN(4)
	if c.badProxy[c.layout.Identities[revision]] {
		a.ready = -1
	}
}

// check holds what must hold at every moment.
func (c *cluster) check() {
	c.t.Helper()
	moving := 0
	for _, a := range c.apps {
		if a.next != "" {
			moving++
		}
	}
	c.most = max(c.most, moving)
	if moving > 3 {
		c.t.Fatalf("%d workloads are restarted at a time, want at most 3", moving)
	}
	if c.layout != nil && c.layout.Move != nil && c.warm[c.layout.Move.Revision] > 0 && !c.badControl[c.layout.Identities[c.layout.Move.Revision]] {
		c.t.Fatalf("workloads are moved to %s, which is not ready", c.layout.Move.Revision)
	}
}

func (c *cluster) run(ticks int) {
	for range ticks {
		c.tick(true)
	}
}

// on counts the workloads of a revision.
func (c *cluster) on(revision string) (n int) {
	for _, a := range c.apps {
		if a.pods == revision && a.next == "" {
			n++
		}
	}
	return n
}

func (c *cluster) phase() v1alpha1.UpgradePhase {
	if c.status == nil {
		return ""
	}
	return c.status.Phase
}

func (c *cluster) settled(revision string, identity v1alpha1.Identity) {
	c.t.Helper()
	want := Layout{Identities: map[string]v1alpha1.Identity{revision: identity}, Entry: revision, Gateways: Gateways{Revision: revision, Identity: identity}}
	if !c.layout.Equal(want) || c.on(revision) != len(c.apps) {
		c.t.Fatalf("got %+v with %d of %d workloads on %s, status %+v; want %+v", *c.layout, c.on(revision), len(c.apps), revision, c.status, want)
	}
}

func TestCanaryMovesAll(t *testing.T) {
	c := newCluster(t, 1, 30)
	c.settled("default", one)
	c.wanted = two
	for i := range c.strategy.Canary.Steps {
		c.strategy.Canary.Steps[i].SoakSeconds = new(int32(4))
	}
	to := "default-" + digest(two, 0)
	var steps []string
	for range 400 {
		c.tick(true)
		if c.status != nil && c.status.Phase == v1alpha1.UpgradeSoaking {
			if line := fmt.Sprintf("%d: %d", c.status.Step, c.status.Moved); !slices.Contains(steps, line) {
				steps = append(steps, line)
			}
		}
	}
	c.settled(to, two)
	if want := []string{"1: 3", "2: 15", "3: 30"}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	if c.restarts != 30 || c.most != 3 || !slices.Equal(c.outcomes, []Outcome{Succeeded}) || c.status != nil {
		t.Errorf("%d restarts, %d at a time at most, %v, status %+v", c.restarts, c.most, c.outcomes, c.status)
	}
	c.wanted = one // and back, by the same way
	c.run(400)
	c.settled("default-"+digest(one, 0), one)
}

func TestCanaryIsUndone(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*cluster)
		// restarts is how many workloads are touched at most.
		restarts int
		says     string
	}{
		"control plane does not come": {func(c *cluster) { c.badControl[two] = true }, 0, "its pods crash"},
		"proxy crashes":               {func(c *cluster) { c.badProxy[two] = true }, 2 * 3, "container istio-proxy: CrashLoopBackOff"},
		"gateway crashes":             {func(c *cluster) { c.badGateway[two] = true }, 2 * 30, "a gateway crashes"},
		"analysis is bad":             {func(c *cluster) { c.verdict = Verdict{Bad: "errors: 0.2 is above 0.01"} }, 2 * 3, "step 1 of 3: errors: 0.2 is above 0.01"},
		"proxies refuse configuration": {
			func(c *cluster) { c.verdict = Verdict{Missing: "1 of 3 proxies refuse 80/a"} }, 2 * 3,
			"step 1 of 3: the analysis did not find all well within 10m0s: 1 of 3 proxies refuse 80/a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim := newCluster(t, 2, 30)
			sim.wanted = two
			c.spoil(sim)
			sim.run(1500)
			if sim.phase() != v1alpha1.UpgradeFailed || sim.restarts > c.restarts || !slices.Equal(sim.outcomes, []Outcome{Failed}) || !strings.Contains(sim.status.Message, c.says) {
				t.Fatalf("%d restarts, %v, status %+v", sim.restarts, sim.outcomes, sim.status)
			}
			sim.settled("default", one)
			for _, a := range sim.apps {
				if name == "proxy crashes" && (a.mark != "" || a.before != nil) {
					t.Errorf("%s: mark %q before %v, want the template as it was", a, a.mark, a.before)
				}
			}
			sim.verdict = Verdict{Good: true}
			sim.wanted = three
			sim.run(1500)
			sim.settled("default-"+digest(three, 0), three)
		})
	}
}

func TestCanaryObeys(t *testing.T) {
	to := "default-" + digest(two, 0)
	start := func(t *testing.T) *cluster {
		c := newCluster(t, 3, 30)
		c.wanted = two
		return c
	}
	t.Run("pause and resume", func(t *testing.T) {
		c := start(t)
		for c.phase() != v1alpha1.UpgradeMoving || c.restarts == 0 {
			c.tick(true)
		}
		c.strategy.Paused = true
		begun := c.restarts
		c.run(100)
		if c.restarts != begun || c.on(to) != begun {
			t.Errorf("%d restarts while paused after %d, %d moved", c.restarts, begun, c.on(to))
		}
		c.strategy.Paused = false
		c.run(400)
		c.settled(to, two)
	})
	t.Run("promote skips the analysis", func(t *testing.T) {
		c := start(t)
		c.verdict = Verdict{Missing: "no data"}
		c.run(20)
		c.strategy.Canary.Promote = to
		c.run(300)
		c.settled(to, two)
	})
	t.Run("abort", func(t *testing.T) {
		c := start(t)
		for c.on(to) < 10 {
			c.tick(true)
		}
		c.strategy.Canary.Abort = to
		c.run(300)
		c.settled("default", one)
		if c.phase() != v1alpha1.UpgradeFailed {
			t.Errorf("status %+v", c.status)
		}
	})
	t.Run("the spec goes back", func(t *testing.T) {
		c := start(t)
		for c.on(to) < 10 {
			c.tick(true)
		}
		c.wanted = one
		c.run(300)
		c.settled("default", one)
		if c.status != nil {
			t.Errorf("status %+v, want none: the mesh is what the spec asks for", c.status)
		}
	})
	t.Run("the spec asks for a third version", func(t *testing.T) {
		c := start(t)
		for c.on(to) < 10 {
			c.tick(true)
		}
		c.wanted = three
		c.run(600)
		c.settled("default-"+digest(three, 0), three)
		if c.status != nil || !slices.Equal(c.outcomes, []Outcome{Failed, Succeeded}) {
			t.Errorf("%v, status %+v", c.outcomes, c.status)
		}
	})
	t.Run("workloads come and go", func(t *testing.T) {
		c := start(t)
		for c.on(to) < 5 {
			c.tick(true)
		}
		for range 10 {
			c.create()
			c.apps = slices.Delete(c.apps, 3, 4)
			c.run(3)
		}
		c.run(400)
		c.settled(to, two)
	})
	t.Run("a disruption budget comes and goes", func(t *testing.T) {
		c := start(t)
		c.apps[4].blocked, c.apps[5].blocked = "PodDisruptionBudget b allows no disruption now", "PodDisruptionBudget b allows no disruption now"
		c.run(1000) // longer than the deadline: nothing is wrong
		if c.on(to) == 0 || c.on(to) >= 29 || c.phase() != v1alpha1.UpgradeMoving || !strings.Contains(c.status.Message, "PodDisruptionBudget b") {
			t.Fatalf("%d moved, status %+v", c.on(to), c.status)
		}
		c.calm()
		c.run(400)
		c.settled(to, two)
	})
	t.Run("Prometheus is away for a while", func(t *testing.T) {
		c := start(t)
		for c.phase() != v1alpha1.UpgradeSoaking {
			c.verdict = Verdict{Missing: "no answer"}
			c.tick(true)
		}
		moved := c.restarts
		c.run(100)
		if c.restarts != moved || c.phase() != v1alpha1.UpgradeSoaking {
			t.Fatalf("%d restarts after %d, status %+v", c.restarts, moved, c.status)
		}
		c.calm()
		c.run(400)
		c.settled(to, two)
	})
	t.Run("the old control plane is deleted by hand", func(t *testing.T) {
		c := start(t)
		for c.on(to) < 10 {
			c.tick(true)
		}
		c.run(5)
		c.warm["default"] = 50 // it comes back; restart says that nobody is restarted meanwhile
		c.run(40)
		if c.phase() != v1alpha1.UpgradeMoving || !strings.Contains(c.status.Message, "waiting for MeshRevision default: ") {
			t.Errorf("status %+v", c.status)
		}
		c.run(400)
		c.settled(to, two)
	})
	t.Run("namespaces, then the rest by hand", func(t *testing.T) {
		c := start(t)
		none := int32(0)
		c.strategy.Canary.Steps = []v1alpha1.CanaryStep{{Namespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "1"}}, SoakSeconds: &none}}
		c.run(300)
		if c.on(to) != 10 || c.phase() != v1alpha1.UpgradeHolding {
			t.Fatalf("%d moved, status %+v", c.on(to), c.status)
		}
		c.strategy.Canary.Promote = to
		c.run(300)
		c.settled(to, two)
	})
	t.Run("what cannot be restarted stays, and keeps its control plane", func(t *testing.T) {
		c := start(t)
		c.apps[7].stuck = "its updates are manual"
		c.run(500)
		if c.on(to) != 29 || c.layout.Entry != to || len(c.layout.Identities) != 2 {
			t.Fatalf("%d moved, %+v", c.on(to), *c.layout)
		}
		c.apps[7].pods = to // somebody deleted its pods
		c.run(30)
		c.settled(to, two)
	})
	t.Run("unknown use deletes nothing", func(t *testing.T) {
		c := start(t)
		c.blind = true
		c.run(800)
		if len(c.layout.Identities) != 2 {
			t.Fatalf("%+v", *c.layout)
		}
		c.blind = false
		c.run(30)
		c.settled(to, two)
	})
}

func TestInPlace(t *testing.T) {
	c := newCluster(t, 4, 5)
	c.strategy = v1alpha1.UpgradeStrategy{}
	c.wanted = two
	c.run(50)
	c.settled("default", two)
	if c.restarts != 0 || !slices.Equal(c.outcomes, []Outcome{Succeeded}) {
		t.Errorf("%d restarts, %v", c.restarts, c.outcomes)
	}
	for _, spoiled := range []map[v1alpha1.Identity]bool{c.badControl, c.badGateway} {
		clear(c.badControl)
		spoiled[three] = true
		c.wanted = three
		c.run(1000)
		c.settled("default", two)
		if c.phase() != v1alpha1.UpgradeFailed {
			t.Fatalf("status %+v", c.status)
		}
		c.wanted = two
		c.run(20)
		if c.status != nil {
			t.Fatalf("status %+v, want none after the spec went back", c.status)
		}
	}
}

// A mesh that never was ready is corrected, not upgraded.
func TestFirstInstallIsCorrected(t *testing.T) {
	w := World{Now: time.Unix(1e9, 0), Name: "default", Wanted: two, Strategy: v1alpha1.UpgradeStrategy{Type: v1alpha1.Canary}}
	l := Fresh("default", one)
	w.Installed = &l
	d := Decide(w)
	if d.Status != nil || !d.Layout.Equal(Fresh("default", two)) {
		t.Errorf("got %+v", d)
	}
}

// Whatever happens, in whatever order, and whoever dies meanwhile: it ends, and well.
func TestRandomUpgrades(t *testing.T) {
	for seed := range uint64(60) {
		c := newCluster(t, seed, 1+int(seed%40))
		r := c.random
		identities := []v1alpha1.Identity{one, two, three}
		for range 4 {
			c.wanted = identities[r.IntN(3)]
			clear(c.badControl)
			clear(c.badProxy)
			clear(c.badGateway)
			bad := identities[r.IntN(3)]
			if bad != *c.good {
				[]map[v1alpha1.Identity]bool{c.badControl, c.badProxy, c.badGateway, {}}[r.IntN(4)][bad] = true
			}
			if r.IntN(4) == 0 {
				c.strategy.Type = []v1alpha1.UpgradeType{v1alpha1.InPlace, v1alpha1.Canary}[r.IntN(2)]
			}
			for range r.IntN(200) {
				c.disturb()
				c.tick(r.IntN(3) > 0)
			}
		}
		c.calm()
		clear(c.badControl)
		clear(c.badProxy)
		clear(c.badGateway)
		c.strategy.Type = v1alpha1.Canary
		c.run(1000)
		if c.phase() == v1alpha1.UpgradeFailed {
			c.wanted = *c.good
			c.run(50)
		}
		if c.status != nil || c.on(c.layout.Entry) != len(c.apps) || len(c.layout.Identities) != 1 || !same(c.layout.Identities[c.layout.Entry], c.wanted) {
			t.Fatalf("seed %d: %d of %d on %s, %v, status %+v", seed, c.on(c.layout.Entry), len(c.apps), c.layout.Entry, slices.Collect(maps.Keys(c.layout.Identities)), c.status)
		}
	}
}
