// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	ktesting "k8s.io/client-go/testing"
)

// pupil is a replica's memory.
type pupil struct {
	known   map[Workload]Uses
	changed map[Workload]Uses
	gone    map[string]bool
	proxies map[Workload]bool
}

func newPupil() *pupil {
	return &pupil{known: map[Workload]Uses{}, changed: map[Workload]Uses{}, gone: map[string]bool{}, proxies: map[Workload]bool{}}
}

func (p *pupil) Learn(kept map[Workload]Uses) { maps.Copy(p.known, kept) }

func (p *pupil) Changed() map[Workload]Uses {
	out := p.changed
	p.changed = map[Workload]Uses{}
	return out
}

func (p *pupil) Extant(u Uses) Uses {
	isGone := func(name string) bool { return p.gone[name] }
	return Uses{
		VirtualHosts: slices.DeleteFunc(slices.Clone(u.VirtualHosts), isGone),
		Clusters:     slices.DeleteFunc(slices.Clone(u.Clusters), isGone),
	}
}

func (p *pupil) HasProxies(w Workload) bool { return p.proxies[w] }

// desk is one replica and its notebook on an API server that others use as well.
type desk struct {
	*pupil
	notebook *Notebook
	client   corev1client.ConfigMapInterface
	day      time.Time
}

func seat(t *testing.T, set kubernetes.Interface) *desk {
	t.Helper()
	d := &desk{pupil: newPupil(), notebook: New(set, "system", "lessons", logr.Discard()), client: set.CoreV1().ConfigMaps("system"), day: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	d.notebook.pupil = d.pupil
	d.notebook.now = func() time.Time { return d.day }
	for _, p := range d.notebook.pages {
		p.pupil = d.pupil
	}
	d.look(t)
	return d
}

// look is what the watch does.
func (d *desk) look(t *testing.T) {
	t.Helper()
	for _, p := range d.notebook.pages {
		m, err := d.client.Get(t.Context(), p.name, metav1.GetOptions{})
		var list []any
		if err == nil {
			list = append(list, m)
		} else if !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		if err := p.Replace(list, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *desk) use(w Workload, hosts ...string) { d.changed[w] = Uses{VirtualHosts: hosts} }

// server is an API server's ConfigMaps; the fake one knows no versions by itself.
func server() (kubernetes.Interface, *int) {
	set, writes := fake.NewClientset(), new(int)
	version := map[string]int{}
	set.PrependReactor("create", "configmaps", func(a ktesting.Action) (bool, runtime.Object, error) {
		*writes++
		m := a.(ktesting.CreateAction).GetObject().(*corev1.ConfigMap)
		if version[m.Name] == 0 {
			version[m.Name] = 1
			m.ResourceVersion = "1"
		}
		return false, nil, nil
	})
	set.PrependReactor("patch", "configmaps", func(a ktesting.Action) (bool, runtime.Object, error) {
		*writes++
		p := a.(ktesting.PatchActionImpl)
		precondition := fmt.Sprintf(`"resourceVersion":"%d"`, version[p.Name])
		if !strings.Contains(string(p.Patch), precondition) {
			return true, nil, apierrors.NewConflict(corev1.Resource("configmaps"), p.Name, nil)
		}
		version[p.Name]++
		p.Patch = []byte(strings.Replace(string(p.Patch), precondition, fmt.Sprintf(`"resourceVersion":"%d"`, version[p.Name]), 1))
		return ktesting.ObjectReaction(set.Tracker())(p)
	})
	return set, writes
}

var cart = Workload{"Kubernetes", "shop", "cart"}

// TestTwoReplicas: what each of two replicas learned of one workload is kept, although
// the second to write did not see what the first wrote.
func TestTwoReplicas(t *testing.T) {
	set, writes := server()
	first, second := seat(t, set), seat(t, set)
	first.use(cart, "80/a")
	second.use(cart, "80/b")
	first.notebook.write(t.Context(), false)
	second.notebook.write(t.Context(), false) // there is one already
	second.look(t)
	second.notebook.write(t.Context(), false)
	first.use(cart, "80/c")
	first.notebook.write(t.Context(), false) // a conflict
	first.look(t)
	first.notebook.write(t.Context(), false)
	if *writes != 5 {
		t.Errorf("%d writes, want 5", *writes)
	}
	for name, d := range map[string]*desk{"first": first, "second": second, "third": seat(t, set)} {
		d.look(t)
		if got, want := d.known[cart].VirtualHosts, []string{"80/a", "80/b", "80/c"}; !slices.Equal(got, want) {
			t.Errorf("the %s replica knows %v, want %v", name, got, want)
		}
		d.use(cart, "80/b")
		d.notebook.write(t.Context(), false)
	}
	if *writes != 5 {
		t.Errorf("%d writes, want 5: what is kept already is written again", *writes)
	}
}

func TestWhatIsOfNoUseIsForgotten(t *testing.T) {
	set, writes := server()
	d := seat(t, set)
	idle := Workload{"Kubernetes", "shop", "idle"}
	d.use(cart, "80/a", "80/b")
	d.use(idle, "80/a")
	sweep := func(days int) {
		d.day = d.day.AddDate(0, 0, days)
		d.notebook.write(t.Context(), true)
		d.look(t)
	}
	kept := func() map[Workload]Uses { return seat(t, set).known }
	sweep(0)
	d.proxies[cart] = true
	d.gone["80/a"] = true
	sweep(1)
	if got, want := kept(), (map[Workload]Uses{cart: {VirtualHosts: []string{"80/b"}}}); !reflect.DeepEqual(got, want) {
		t.Errorf("without the host a, %v is kept, want %v", got, want)
	}
	d.gone["80/a"] = false
	d.use(idle, "80/a")
	sweep(1)
	before := *writes
	sweep(1)
	if *writes != before {
		t.Error("a sweep writes although there is nothing to forget")
	}
	sweep(28)
	if got := kept(); len(got) != 2 {
		t.Errorf("%v is kept", got)
	}
	sweep(2)
	if got, want := kept(), (map[Workload]Uses{cart: {VirtualHosts: []string{"80/b"}}}); !reflect.DeepEqual(got, want) {
		t.Errorf("a month later %v is kept, want %v", got, want)
	}
}

func TestANamespaceTakesNoMoreThanItsShare(t *testing.T) {
	set, _ := server()
	d := seat(t, set)
	crowd := func(namespace string, from, to int) {
		for i := range maxUses {
			if i < from || i >= to {
				continue
			}
			var names []string
			for j := range 500 {
				names = append(names, fmt.Sprintf("80/host-%03d.%s.svc.cluster.local", j, namespace))
			}
			d.use(Workload{"Kubernetes", namespace, fmt.Sprint("w", i)}, names...)
		}
	}
	size := func() int {
		n := 0
		for _, p := range d.notebook.pages {
			for _, text := range p.texts {
				n = max(n, len(text))
			}
			if all := maxPage - p.room().all; all > maxPage {
				t.Errorf("%s has %d bytes", p.name, all)
			}
		}
		return n
	}
	count := func() (n int) {
		for _, p := range d.notebook.pages {
			n += len(p.entries)
		}
		return n
	}
	crowd("greedy", 0, 400)
	d.notebook.write(t.Context(), false)
	d.look(t)
	most := Pages * maxNamespace / size()
	if got := count(); got > most || got < most/2 {
		t.Errorf("%d workloads of one namespace are kept, the bound is %d", got, most)
	}
	before := count()
	crowd("modest", 0, 20)
	d.notebook.write(t.Context(), false)
	d.look(t)
	if got := count() - before; got != 20 {
		t.Errorf("%d workloads of another namespace are kept, want 20", got)
	}
}

func TestReadingBounds(t *testing.T) {
	_, key := cart.place()
	for name, text := range map[string]string{
		"no JSON":                 "{",
		"of another workload":     `{"cluster":"Kubernetes","namespace":"shop","workload":"other","virtualHosts":["80/a"]}`,
		"of no workload":          `{"virtualHosts":["80/a"]}`,
		"names that are no texts": `{"cluster":"Kubernetes","namespace":"shop","workload":"cart","virtualHosts":[1]}`,
	} {
		if _, e := parse(key, text); e != nil {
			t.Errorf("%s: read as %v", name, e)
		}
	}
	many := Uses{VirtualHosts: []string{"b", "a", "b", "", strings.Repeat("x", maxName+1)}}
	for i := range 2 * maxUses {
		many.Clusters = append(many.Clusters, fmt.Sprintf("c%04d", i))
	}
	text, err := (&entry{Cluster: "Kubernetes", Namespace: "shop", Workload: "cart", Used: "tomorrow", Uses: many}).text()
	if err != nil {
		t.Fatal(err)
	}
	w, e := parse(key, text)
	if w != cart || e == nil || e.Used != "" || !slices.Equal(e.VirtualHosts, []string{"a", "b"}) || e.count() != maxUses {
		t.Errorf("read %v %v", w, e)
	}
	for _, w := range []Workload{cart, {"../..", "Ä b", strings.Repeat("long", 200)}} {
		n, key := w.place()
		if n < 0 || n >= Pages || len(key) > 253 || strings.ContainsFunc(key, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._", r)
		}) {
			t.Errorf("%v is kept on page %d under %q", w, n, key)
		}
	}
}

// TestRun: a start waits for what was kept, learns what comes later, and an end keeps
// what is new.
func TestRun(t *testing.T) {
	set, _ := server()
	earlier := seat(t, set)
	earlier.use(cart, "80/a")
	earlier.notebook.write(t.Context(), false)

	next := &listener{pupil: newPupil(), learned: make(chan map[Workload]Uses, 10)}
	next.changed[cart] = Uses{Clusters: []string{"c"}}
	n := New(set, "system", "lessons", logr.Discard())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); n.Run(ctx, next) }()
	<-n.Synced()
	if got := <-next.learned; !slices.Equal(got[cart].VirtualHosts, []string{"80/a"}) {
		t.Errorf("learned %v at the start", got)
	}
	earlier.look(t)
	earlier.use(cart, "80/b")
	earlier.notebook.write(t.Context(), false)
	if got := <-next.learned; !slices.Equal(got[cart].VirtualHosts, []string{"80/a", "80/b"}) {
		t.Errorf("learned %v from another replica", got)
	}
	cancel()
	<-ended
	if got, want := seat(t, set).known[cart], (Uses{VirtualHosts: []string{"80/a", "80/b"}, Clusters: []string{"c"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("at the end %v is kept, want %v", got, want)
	}
}

// listener is a pupil that says what it learns.
type listener struct {
	*pupil
	learned chan map[Workload]Uses
}

func (l *listener) Learn(kept map[Workload]Uses) { l.learned <- kept }
