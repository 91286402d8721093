// SPDX-License-Identifier: Apache-2.0

package row

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

// server lists what it was given and streams what is sent.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	items  []map[string]any
	events chan map[string]any
}

func serve(t testing.TB, items ...map[string]any) *server {
	t.Helper()
	s := &server{items: items, events: make(chan map[string]any)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			s.mu.Lock()
			defer s.mu.Unlock()
			_ = json.NewEncoder(w).Encode(map[string]any{
				"apiVersion": "networking.istio.io/v1", "kind": "VirtualServiceList",
				"metadata": map[string]any{"resourceVersion": "1"}, "items": s.items,
			})
			return
		}
		if r.URL.Query().Get("sendInitialEvents") != "" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		w.(http.Flusher).Flush()
		for {
			select {
			case e := <-s.events:
				_ = json.NewEncoder(w).Encode(e)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func object(name string, generation int, spec any, status string) map[string]any {
	return map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{
			"name": name, "namespace": "shop", "generation": generation, "resourceVersion": time.Now().String(),
		},
		"spec": spec, "status": map[string]any{"note": status},
	}
}

func spec(timeout string) map[string]any {
	return map[string]any{"hosts": []string{"a"}, "http": []any{map[string]any{
		"timeout": timeout, "route": []any{map[string]any{"destination": map[string]any{"host": "a"}}},
	}}}
}

var resource = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}

func start(t testing.TB, s *server, project func(*metav1.ObjectMeta, []byte) (*ir.Routes, []ir.Problem, error)) (*Set, *intake.Barrier) {
	t.Helper()
	inbox := intake.NewInbox()
	set, err := NewSet(Options{Config: &rest.Config{Host: s.URL}, Inbox: inbox}, Project(projection.KindVirtualService, resource, project,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.Routes) { b.Routes[k] = r }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	barrier := intake.NewBarrier(inbox, set.Synced()...)
	<-barrier.Synced()
	return set, barrier
}

var virtualService = projection.Scope{Domain: "cluster.local"}.VirtualService

func key(name string) ir.ConfigKey { return ir.ConfigKey{Namespace: "shop", Name: name} }

func origin(name string) ir.Origin {
	return ir.Origin{Kind: projection.KindVirtualService, Namespace: "shop", Name: name}
}

// event sends a change and returns what came of it.
func event(s *server, b *intake.Barrier, kind string, o map[string]any) intake.Batch {
	s.events <- map[string]any{"type": kind, "object": o}
	<-b.Wake()
	return b.Drain()
}

func TestLifeOfAnObject(t *testing.T) {
	s := serve(t, object("r", 1, spec("1s"), ""), object("bad", 1, map[string]any{"hosts": 7}, ""))
	set, barrier := start(t, s, virtualService)
	batch := barrier.Drain()
	<-barrier.Wake()
	if batch.Routes[key("r")] == nil || batch.Statuses[origin("r")].Generation != 1 {
		t.Fatalf("synced with %+v", batch)
	}
	if p := batch.Statuses[origin("bad")].Problems; len(p) != 1 || p[0].Reason != projection.ReasonMalformed {
		t.Errorf("an object that cannot be read has problems %v", p)
	}

	// Our own status is no change; the spec after it is.
	s.events <- map[string]any{"type": "MODIFIED", "object": object("r", 1, spec("1s"), "seen")}
	batch = event(s, barrier, "MODIFIED", object("r", 2, spec("2s"), "seen"))
	if len(batch.Statuses) != 1 || batch.Statuses[origin("r")].Generation != 2 || batch.Routes[key("r")].HTTP[0].Timeout != 2*time.Second {
		t.Errorf("after a change: %+v", batch)
	}
	if got := string(set.Status(origin("r"))); got != `{"note":"seen"}` {
		t.Errorf("status = %s", got)
	}

	batch = event(s, barrier, "MODIFIED", object("r", 3, map[string]any{"hosts": 7}, ""))
	if _, told := batch.Routes[key("r")]; told || len(batch.Statuses[origin("r")].Problems) != 1 {
		t.Errorf("an object that cannot be read any more gave %+v, and must leave its last good row", batch)
	}

	batch = event(s, barrier, "DELETED", object("r", 3, nil, ""))
	if row, told := batch.Routes[key("r")]; !told || row != nil || !batch.Statuses[origin("r")].Deleted {
		t.Errorf("after the deletion: %+v", batch)
	}
	if set.Status(origin("r")) != nil {
		t.Error("the status outlived its object")
	}
}

func TestPanicIsAProblemOfItsObject(t *testing.T) {
	s := serve(t, object("poison", 1, spec("1s"), ""), object("fine", 1, spec("1s"), ""))
	_, barrier := start(t, s, func(meta *metav1.ObjectMeta, text []byte) (*ir.Routes, []ir.Problem, error) {
		if meta.Name == "poison" {
			panic("poison")
		}
		return virtualService(meta, text)
	})
	batch := barrier.Drain()
	if batch.Routes[key("fine")] == nil || len(batch.Statuses[origin("poison")].Problems) != 1 {
		t.Errorf("synced with %+v", batch)
	}
}

// BenchmarkKind reads 10,000 objects and then one change after the other: the time
// from the API server to the inbox, and what the process keeps of each object beside
// its row.
func BenchmarkKind(b *testing.B) {
	const count = 10_000
	var items []map[string]any
	for i := range count {
		items = append(items, object(strconv.Itoa(i), 1, spec("1s"), strings.Repeat("s", 200)))
	}
	s := serve(b, items...)
	before := heap()
	began := time.Now()
	set, barrier := start(b, s, virtualService)
	sync := time.Since(began)
	barrier.Drain()
	<-barrier.Wake()
	kept := float64(heap()-before) / count
	i := 0
	for b.Loop() {
		i++
		event(s, barrier, "MODIFIED", object("1", i+1, spec("2s"), ""))
	}
	b.ReportMetric(float64(sync.Milliseconds()), "ms/sync")
	b.ReportMetric(kept, "B/object")
	runtime.KeepAlive(set)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
