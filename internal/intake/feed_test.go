// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"slices"
	"testing"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
)

// quiet is a feed whose reflector never runs.
func quiet(t *testing.T) *Feed {
	t.Helper()
	f, err := NewFeed(&rest.Config{Host: "http://127.0.0.1:1"},
		schema.GroupVersionResource{Group: "g", Version: "v1", Resource: "things"}, "Thing", nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	f.queue = workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]())
	t.Cleanup(f.queue.ShutDown)
	return f
}

func thing(name, spec string) *Object {
	return &Object{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}, Spec: []byte(spec)}
}

// queued empties the queue and is done with what was in it.
func queued(f *Feed) []string {
	var out []string
	for f.queue.Len() > 0 {
		n, _ := f.queue.Get()
		if o, ok := f.Fetch(n); ok {
			state := "gone"
			if o != nil {
				state = string(o.Spec)
			}
			out = append(out, n.Name+" "+state)
			f.Done(n, o)
		}
		f.queue.Done(n)
	}
	slices.Sort(out)
	return out
}

func expect(t *testing.T, f *Feed, want ...string) {
	t.Helper()
	if got := queued(f); !slices.Equal(got, want) {
		t.Errorf("queued %q, want %q", got, want)
	}
}

func TestListAfterAnOutageQueuesDifferencesOnly(t *testing.T) {
	f := quiet(t)
	must(t, f.Replace([]any{thing("same", "1"), thing("gone", "1"), thing("moved", "1")}, ""))
	expect(t, f, "gone 1", "moved 1", "same 1")
	must(t, f.Replace([]any{thing("same", "1"), thing("moved", "2"), thing("new", "1")}, ""))
	expect(t, f, "gone gone", "moved 2", "new 1")
	if len(f.known) != 3 {
		t.Errorf("%d objects are known", len(f.known))
	}
	for n, e := range f.known {
		if e.object != nil {
			t.Errorf("%s is still held", n)
		}
	}
}

func TestChangeWhileAnObjectIsWorkedOn(t *testing.T) {
	f := quiet(t)
	must(t, f.Add(thing("a", "1")))
	n, _ := f.queue.Get()
	first, _ := f.Fetch(n)
	must(t, f.Update(thing("a", "2")))
	f.Done(n, first)
	f.queue.Done(n)
	expect(t, f, "a 2")

	must(t, f.Delete(thing("a", "2")))
	must(t, f.Add(thing("a", "2")))
	expect(t, f, "a 2") // it may be another object; it is not gone
	must(t, f.Delete(thing("a", "2")))
	expect(t, f, "a gone")
	must(t, f.Delete(thing("never", "1")))
	expect(t, f)
}

// TestStatusThatIsRead: what nothing is projected from queues nothing, written by us
// or by others.
func TestStatusThatIsRead(t *testing.T) {
	f := quiet(t)
	f.reads = func(status []byte) []byte { return status[:1] }
	with := func(status string) *Object {
		o := thing("a", "1")
		o.Status = []byte(status)
		return o
	}
	must(t, f.Add(with("xa")))
	expect(t, f, "a 1")
	must(t, f.Update(with("xb")))
	expect(t, f)
	must(t, f.Update(with("ya")))
	expect(t, f, "a 1")
}

func TestFeedIsSyncedWhenItsFirstListIsDoneWith(t *testing.T) {
	f := quiet(t)
	must(t, f.Replace([]any{thing("a", "1"), thing("b", "1")}, ""))
	f.mu.Lock()
	f.listed = true // as Start notes
	f.mu.Unlock()
	synced := func() bool {
		select {
		case <-f.Synced():
			return true
		default:
			return false
		}
	}
	n, _ := f.queue.Get()
	o, _ := f.Fetch(n)
	f.Done(n, o)
	if synced() {
		t.Fatal("synced with an object that nobody fetched")
	}
	expect(t, f, "b 1")
	if !synced() {
		t.Error("not synced")
	}
}
