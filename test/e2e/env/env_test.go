// SPDX-License-Identifier: Apache-2.0

package env

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const manifest = `
# a comment
---
apiVersion: v1
kind: Namespace
metadata:
  name: a
---
apiVersion: v1
kind: Pod
metadata:
  name: b
spec:
  containers:
    - name: ours
      image: ghcr.io/meshwright/echo:v0.1.0
    - name: theirs
      image: docker.io/x/echo:v0.1.0
`

func TestParsePutsInTheImages(t *testing.T) {
	c := &Cluster{Registry: "registry.example/m", Tag: "v7"}
	got, err := c.Parse([]byte(manifest))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d objects, %v", len(got), err)
	}
	list, _, err := unstructured.NestedSlice(got[1].Object, "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"registry.example/m/echo:v7", "docker.io/x/echo:v0.1.0"}
	for i, item := range list {
		if image := item.(map[string]any)["image"]; image != want[i] {
			t.Errorf("image %d = %v, want %s", i, image, want[i])
		}
	}
}

func TestParseNamesTheBrokenDocument(t *testing.T) {
	c := &Cluster{Registry: DefaultRegistry, Tag: DefaultTag}
	if _, err := c.Parse([]byte("a: b\n---\na: [\n")); err == nil || !strings.Contains(err.Error(), "document 2") {
		t.Errorf("error = %v, want one that names document 2", err)
	}
}

func TestConditionOf(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"generation": int64(3)},
		"status": map[string]any{"conditions": []any{
			map[string]any{"type": "Ready", "status": "True", "reason": "Fine", "message": "all", "observedGeneration": int64(3)},
			map[string]any{"type": "Old", "status": "True", "observedGeneration": "2"},
		}},
	}}
	if c, ok := ConditionOf(u, "Ready"); !ok || c != (Condition{Status: "True", Reason: "Fine", Message: "all", Current: true}) {
		t.Errorf("Ready = %+v, %v", c, ok)
	}
	if c, ok := ConditionOf(u, "Old"); !ok || c.Current {
		t.Errorf("Old = %+v, %v; it is of an older generation", c, ok)
	}
	if _, ok := ConditionOf(u, "Other"); ok {
		t.Error("found a condition that is not there")
	}
}

func TestEventuallyTellsTheLastReason(t *testing.T) {
	err := Eventually(t.Context(), 50*time.Millisecond, "the thing", func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "the thing") || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("error = %v", err)
	}
	n := 0
	err = Eventually(t.Context(), 5*time.Second, "the thing", func(context.Context) error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || n != 3 {
		t.Errorf("error = %v after %d looks", err, n)
	}
}

func TestLoadRecordsEveryRequest(t *testing.T) {
	var served atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := served.Add(1)
		if r.Host != "shop.example" {
			http.Error(w, "wrong host", http.StatusNotFound)
			return
		}
		switch {
		case n%10 == 0:
			http.Error(w, "tenth", http.StatusServiceUnavailable)
		case n%2 == 0:
			_, _ = w.Write([]byte(`{"version":"v2"}`))
		default:
			_, _ = w.Write([]byte(`{"version":"v1"}`))
		}
	}))
	defer srv.Close()
	results := Load(t.Context(), Request{URL: "http://shop.example/", Address: srv.Listener.Addr().String(), Count: 100, Concurrency: 4})
	r := Summary(results, nil)
	if r.Requests != 100 || served.Load() != 100 || r.Codes["200"] != 90 || r.Failed() != 10 || len(r.Failures) != 10 {
		t.Errorf("report = %s, %d served", r, served.Load())
	}
	if r.Versions["v1"] != 50 || r.Versions["v2"] != 40 {
		t.Errorf("versions = %v", r.Versions)
	}
	if share := r.Share("v1"); share < 55 || share > 56 {
		t.Errorf("share of v1 = %.2f, want 55.6", share)
	}
}

func TestLoadEndsWithItsContextAndKeepsThePace(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(30 * time.Millisecond) }))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r := Summary(Load(ctx, Request{URL: srv.URL, RPS: 50, Concurrency: 4}), nil)
	if r.Requests < 5 || r.Requests > 16 || r.Failed() != 0 {
		t.Errorf("report = %s; want about 15 requests and none cut off", r)
	}
}

func TestLoadRecordsRefusedConnections(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	r := Summary(Load(t.Context(), Request{URL: srv.URL, Count: 3}), nil)
	if r.Failed() != 3 || len(r.Failures) != 3 || len(r.Errors) != 1 {
		t.Errorf("report = %s", r)
	}
}
