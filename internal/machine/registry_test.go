// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshwright/meshwright/internal/ir"
)

// shelf is a Store with the API server's ways to refuse what is old.
type shelf struct {
	version int
	objects map[ir.ConfigKey]*unstructured.Unstructured
	health  map[ir.ConfigKey]string
	writes  int
}

func newShelf() *shelf {
	return &shelf{objects: map[ir.ConfigKey]*unstructured.Unstructured{}, health: map[ir.ConfigKey]string{}}
}

func (s *shelf) put(key ir.ConfigKey, o *unstructured.Unstructured) {
	s.version++
	s.writes++
	o = o.DeepCopy()
	o.SetResourceVersion(strconv.Itoa(s.version))
	s.objects[key] = o
}

func (s *shelf) Group(context.Context, ir.ConfigKey) (types.UID, error) { return "group-uid", nil }

func (s *shelf) Get(_ context.Context, key ir.ConfigKey) (*unstructured.Unstructured, error) {
	if o := s.objects[key]; o != nil {
		return o.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(entries.GroupResource(), key.Name)
}

func (s *shelf) Create(_ context.Context, o *unstructured.Unstructured) error {
	key := ir.ConfigKey{Namespace: o.GetNamespace(), Name: o.GetName()}
	if s.objects[key] != nil {
		return apierrors.NewAlreadyExists(entries.GroupResource(), key.Name)
	}
	o.SetUID(types.UID("uid-" + strconv.Itoa(s.version)))
	s.put(key, o)
	return nil
}

func (s *shelf) Update(_ context.Context, o *unstructured.Unstructured) error {
	key := ir.ConfigKey{Namespace: o.GetNamespace(), Name: o.GetName()}
	if s.objects[key].GetResourceVersion() != o.GetResourceVersion() {
		return apierrors.NewConflict(entries.GroupResource(), key.Name, nil)
	}
	s.put(key, o)
	return nil
}

func (s *shelf) Delete(_ context.Context, key ir.ConfigKey, uid types.UID, version string) error {
	o := s.objects[key]
	if o == nil {
		return apierrors.NewNotFound(entries.GroupResource(), key.Name)
	}
	if o.GetUID() != uid || o.GetResourceVersion() != version {
		return apierrors.NewConflict(entries.GroupResource(), key.Name, nil)
	}
	delete(s.objects, key)
	return nil
}

func (s *shelf) SetHealth(_ context.Context, key ir.ConfigKey, _ types.UID, h Health) error {
	s.health[key] = strconv.FormatBool(h.Healthy) + h.Message
	s.writes++
	return nil
}

// town is some replicas that share a shelf and a clock.
type town struct {
	t        *testing.T
	shelf    *shelf
	now      time.Time
	alive    map[string]bool
	replicas []*Registry
}

func (w *town) Alive(_ context.Context, controller string) bool { return w.alive[controller] }

func newTown(t *testing.T, names ...string) *town {
	w := &town{t: t, shelf: newShelf(), now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), alive: map[string]bool{}}
	for _, name := range names {
		w.add(name)
	}
	return w
}

func (w *town) add(name string) *Registry {
	w.alive[name] = true
	r := New(Options{Store: w.shelf, Replicas: w, Self: name, Now: func() time.Time { return w.now }, Log: logr.Discard()})
	r.Update(map[ir.ConfigKey]*ir.WorkloadGroup{group.Origin.Key(): group})
	w.replicas = append(w.replicas, r)
	return r
}

var group = &ir.WorkloadGroup{
	Origin: ir.Origin{Kind: "WorkloadGroup", Namespace: "shop", Name: "details"},
	Template: ir.Workload{
		ServiceAccount: "details", Labels: ir.Labels{{Key: "app", Value: "details"}}, Ports: []ir.SlicePort{{Name: "http", Port: 9080}},
		Locality: ir.Locality{Region: "eu", Zone: "eu-1"}, Weight: 2,
	},
	Annotations: ir.Labels{{Key: "example.com/owner", Value: "shop"}},
}

var vm = ir.ConfigKey{Namespace: "shop", Name: "details-192.0.2.1"}

// settle lets every replica see what is stored and do what it wants, until nobody wants anything.
func (w *town) settle() {
	w.t.Helper()
	for round := 0; ; round++ {
		before := w.shelf.version + len(w.shelf.objects) + w.shelf.writes
		for _, r := range w.replicas {
			known := map[ir.ConfigKey]bool{}
			for key, o := range w.shelf.objects {
				known[key] = true
				if o.GetLabels()[Label] == "true" {
					e := ReadEntry(&metav1.ObjectMeta{
						UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(), Labels: o.GetLabels(), Annotations: o.GetAnnotations(),
					})
					r.Observe(key, &e)
				}
			}
			for key := range r.entries {
				if !known[key] {
					r.Observe(key, nil)
				}
			}
			keys := slices.Concat(slices.Collect(maps.Keys(r.machines)), slices.Collect(maps.Keys(r.entries)))
			for _, key := range keys {
				if _, err := r.reconcile(w.t.Context(), key); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		if w.shelf.version+len(w.shelf.objects)+w.shelf.writes == before {
			return
		}
		if round > 20 {
			w.t.Fatal("the replicas do not come to rest")
		}
	}
}

// after moves the clock in steps, as timers would.
func (w *town) after(d time.Duration) {
	w.t.Helper()
	for ; d > 0; d -= time.Second {
		w.now = w.now.Add(time.Second)
		w.settle()
	}
}

func (w *town) visit(r *Registry) *Visit {
	w.t.Helper()
	v, err := r.Visit(machineNode("192.0.2.1", nil))
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return v
}

func (w *town) entry() *unstructured.Unstructured {
	w.t.Helper()
	o := w.shelf.objects[vm]
	if o == nil {
		w.t.Fatalf("there is no %s", vm)
	}
	return o
}

func TestMachineIsRegistered(t *testing.T) {
	w := newTown(t, "a/1")
	w.visit(w.replicas[0])
	o := w.entry()
	want := map[string]any{
		"address": "192.0.2.1", "serviceAccount": "details", "labels": map[string]any{"app": "details"},
		"ports": map[string]any{"http": int64(9080)}, "locality": "eu/eu-1", "weight": int64(2),
	}
	if got, _, _ := unstructured.NestedMap(o.Object, "spec"); !equal(got, want) {
		t.Errorf("spec %v, want %v", got, want)
	}
	a := o.GetAnnotations()
	if a[annotationGroup] != "details" || a[annotationController] != "a/1" || a[annotationConnected] != "2026-06-01T12:00:00Z" ||
		a["example.com/owner"] != "shop" || a[annotationProbed] != "" {
		t.Errorf("annotations %v", a)
	}
	if l := o.GetLabels(); l["app"] != "details" {
		t.Errorf("labels %v", l)
	}
	owners := o.GetOwnerReferences()
	if len(owners) != 1 || owners[0].Kind != "WorkloadGroup" || owners[0].Name != "details" || owners[0].UID != "group-uid" {
		t.Errorf("owners %v", owners)
	}
	writes := w.shelf.writes
	w.after(time.Minute)
	if w.shelf.writes != writes {
		t.Errorf("a machine that stays was written %d more times", w.shelf.writes-writes)
	}
}

func equal(a, b map[string]any) bool {
	return maps.EqualFunc(a, b, func(x, y any) bool {
		m, isMap := x.(map[string]any)
		if n, ok := y.(map[string]any); ok && isMap {
			return equal(m, n)
		}
		return x == y
	})
}

func TestMachineLeaves(t *testing.T) {
	w := newTown(t, "a/1", "b/1")
	first, second := w.visit(w.replicas[0]), w.visit(w.replicas[0])
	first.Left()
	w.after(time.Minute)
	w.entry() // its other stream is there
	second.Left()
	w.after(settle)
	if w.entry().GetAnnotations()[annotationDisconnected] == "" {
		t.Error("that the machine left is not written")
	}
	w.after(Grace - time.Second)
	w.entry()
	w.after(2 * time.Second)
	if len(w.shelf.objects) > 0 {
		t.Error("the machine is gone, its entry is not")
	}
	for _, r := range w.replicas {
		if len(r.machines)+len(r.count)+len(r.entries)+len(r.orphans) > 0 {
			t.Errorf("%s remembers what is gone: %v %v %v %v", r.options.Self, r.machines, r.count, r.entries, r.orphans)
		}
	}
}

func TestMachineComesBack(t *testing.T) {
	w := newTown(t, "a/1", "b/1")
	first := w.visit(w.replicas[0])
	first.Left()
	w.after(settle + 5*time.Second)
	uid := w.entry().GetUID()
	w.visit(w.replicas[1])
	a := w.entry().GetAnnotations()
	if a[annotationController] != "b/1" || a[annotationDisconnected] != "" {
		t.Errorf("it is back at b/1: %v", a)
	}
	w.after(time.Minute)
	if w.entry().GetUID() != uid {
		t.Error("its entry was made anew")
	}
}

// TestMachineMoves: its new stream opens before the old one is found dead.
func TestMachineMoves(t *testing.T) {
	w := newTown(t, "a/1", "b/1")
	first := w.visit(w.replicas[0])
	w.after(time.Second)
	w.visit(w.replicas[1])
	w.after(time.Minute)
	first.Left()
	w.after(time.Minute)
	if a := w.entry().GetAnnotations(); a[annotationController] != "b/1" || a[annotationDisconnected] != "" {
		t.Errorf("it is at b/1: %v", a)
	}
}

// TestReplicaDies: what its machines left behind is found by another one, and those
// that come back keep their entries.
func TestReplicaDies(t *testing.T) {
	w := newTown(t, "a/1")
	w.visit(w.replicas[0])
	w.alive["a/1"], w.replicas = false, nil
	w.after(time.Hour) // nobody is there
	b := w.add("b/1")
	w.after(orphanhood - 5*time.Second)
	w.entry()
	back := w.visit(b)
	w.after(time.Hour)
	if a := w.entry().GetAnnotations(); a[annotationController] != "b/1" {
		t.Errorf("it came back to b/1: %v", a)
	}

	back.Left()
	w.alive["b/1"], w.replicas = false, nil
	w.add("c/1")
	w.after(orphanhood + 2*Grace)
	if len(w.shelf.objects) > 0 {
		t.Error("the machine and its replica are gone, the entry is not")
	}
}

func TestReplicaEnds(t *testing.T) {
	w := newTown(t, "a/1")
	v := w.visit(w.replicas[0])
	w.replicas[0].Close()
	writes := w.shelf.writes
	v.Left()
	if n := w.replicas[0].queue.Len(); n > 1 {
		t.Errorf("%d entries are to be written", n)
	}
	if w.shelf.writes != writes {
		t.Error("that a replica ends was written as the end of its machines")
	}
}

func TestUsersEntriesStay(t *testing.T) {
	for name, annotations := range map[string]map[string]string{
		"plain": nil,
		"a copy of one that was registered": {
			annotationController: "a/1", annotationDisconnected: "2020-01-01T00:00:00Z", annotationDigest: "x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, "a/1")
			own := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"address": "192.0.2.9"}}}
			own.SetNamespace(vm.Namespace)
			own.SetName(vm.Name)
			own.SetAnnotations(annotations)
			own.SetLabels(map[string]string{Label: "true"})
			w.shelf.put(vm, own)
			before := w.shelf.objects[vm].DeepCopy()
			w.settle()
			w.visit(w.replicas[0]).Left()
			w.after(time.Hour)
			if got := w.shelf.objects[vm]; got == nil || got.GetResourceVersion() != before.GetResourceVersion() {
				t.Errorf("it is %v now", got)
			}
		})
	}
}

func TestGroupChanges(t *testing.T) {
	w := newTown(t, "a/1")
	w.visit(w.replicas[0])
	next := *group
	next.Template.Ports = []ir.SlicePort{{Name: "http", Port: 9081}}
	w.replicas[0].Update(map[ir.ConfigKey]*ir.WorkloadGroup{group.Origin.Key(): &next})
	w.settle()
	if got, _, _ := unstructured.NestedInt64(w.entry().Object, "spec", "ports", "http"); got != 9081 {
		t.Errorf("port %d", got)
	}
	w.replicas[0].Update(map[ir.ConfigKey]*ir.WorkloadGroup{group.Origin.Key(): nil})
	w.settle()
	w.entry() // Kubernetes deletes it with its owner
}

func TestVisitsThatAreRefused(t *testing.T) {
	w := newTown(t, "a/1")
	for _, c := range []struct {
		more map[string]any
		code codes.Code
		text string
	}{
		{map[string]any{MetadataGroup: "none"}, codes.FailedPrecondition, "no valid WorkloadGroup none in namespace shop"},
		{map[string]any{"NAMESPACE": "books"}, codes.FailedPrecondition, "namespace books"},
		{map[string]any{"SERVICE_ACCOUNT": "other"}, codes.PermissionDenied, "run as service account details, this one as other"},
	} {
		_, err := w.replicas[0].Visit(machineNode("192.0.2.1", c.more))
		if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.text) {
			t.Errorf("%v: %v", c.more, err)
		}
	}
	if _, err := w.replicas[0].Visit(machineNode("127.0.0.1", nil)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a loopback address: %v", err)
	}
	if _, err := New(Options{}).Visit(machineNode("192.0.2.1", nil)); status.Code(err) != codes.Unavailable {
		t.Errorf("before groups were read: %v", err)
	}
	if w.settle(); len(w.shelf.objects) > 0 {
		t.Error("what was refused is registered")
	}
}

func TestHealth(t *testing.T) {
	w := newTown(t, "a/1", "b/1")
	proxy, err := w.replicas[0].Visit(machineNode("192.0.2.1", map[string]any{MetadataProbed: "true"}))
	if err != nil {
		t.Fatal(err)
	}
	// The agent's stream ends at another replica, and is not what makes the machine present.
	agent, err := w.replicas[1].Visit(machineNode("192.0.2.1", map[string]any{MetadataProbed: "true", MetadataStream: "agent"}))
	if err != nil {
		t.Fatal(err)
	}
	agent.Health("connection refused")
	w.settle()
	if got := w.entry().GetAnnotations()[annotationProbed]; got != "true" {
		t.Errorf("probed %q", got)
	}
	if got := w.shelf.health[vm]; got != "falseconnection refused" {
		t.Errorf("health %q", got)
	}
	writes := w.shelf.writes
	agent.Health("another reason")
	w.settle()
	if w.shelf.writes != writes {
		t.Error("a health that did not turn was written again")
	}
	agent.Health("")
	w.settle()
	if got := w.shelf.health[vm]; got != "true" {
		t.Errorf("health %q", got)
	}

	// The entry goes and comes: what the agent says still holds.
	delete(w.shelf.objects, vm)
	delete(w.shelf.health, vm)
	w.settle()
	if w.entry(); w.shelf.health[vm] != "true" {
		t.Errorf("health %q of the new entry", w.shelf.health[vm])
	}

	// The agent goes: what it said is nobody's any more.
	agent.Left()
	proxy.Left()
	w.after(settle + Grace + deference)
	delete(w.shelf.health, vm)
	w.visit(w.replicas[1])
	if got, told := w.shelf.health[vm]; told {
		t.Errorf("health %q of an agent that left", got)
	}
	for _, r := range w.replicas {
		if len(r.health) > 0 {
			t.Errorf("%s remembers the health of %v", r.options.Self, r.health)
		}
	}
}
