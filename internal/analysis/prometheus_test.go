// SPDX-License-Identifier: Apache-2.0

package analysis_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/analysis"
)

// prometheus answers every query with a result, as its HTTP API does.
func prometheus(t *testing.T, result string, asked *string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.FormValue("query")
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"status": "success", "data": %s}`, result)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestPrometheus(t *testing.T) {
	scalar := func(value string) string {
		return `{"resultType": "scalar", "result": [1700000000, "` + value + `"]}`
	}
	vector := func(values ...string) string {
		var out []string
		for i, v := range values {
			out = append(out, fmt.Sprintf(`{"metric": {"pod": "%d"}, "value": [1700000000, "%s"]}`, i, v))
		}
		return `{"resultType": "vector", "result": [` + strings.Join(out, ",") + `]}`
	}
	for name, c := range map[string]struct{ result, good, bad, missing string }{
		"within bounds":  {result: scalar("0.5"), good: "yes"},
		"one of vector":  {result: vector("0.5"), good: "yes"},
		"above":          {result: scalar("1.5"), bad: "query errors: 1.5 is above 1"},
		"below":          {result: scalar("-1"), bad: "query errors: -1 is below 0"},
		"no data":        {result: vector(), missing: "query errors: it yields 0 numbers, want one"},
		"several":        {result: vector("0", "1"), missing: "query errors: it yields 2 numbers, want one"},
		"divided by nil": {result: scalar("NaN"), missing: "query errors: it yields no number (NaN)"},
		"range":          {result: `{"resultType": "matrix", "result": []}`, missing: "query errors: it yields a matrix, want one number"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked string
			spec := v1alpha1.PrometheusAnalysis{Address: prometheus(t, c.result, &asked), Queries: []v1alpha1.PrometheusQuery{
				{Name: "errors", Query: `rate(x{rev="$(revision)"}[1m]) / rate(x{rev="$(previous)"}[1m])`, Min: "0", Max: "1"},
			}}
			got := analysis.Prometheus(t.Context(), spec, "default-2", "default", time.Now())
			if got.Good != (c.good != "") || got.Bad != c.bad || got.Missing != c.missing {
				t.Errorf("got %+v", got)
			}
			if want := `rate(x{rev="default-2"}[1m]) / rate(x{rev="default"}[1m])`; asked != want {
				t.Errorf("asked %s, want %s", asked, want)
			}
		})
	}
}

// A server that is away holds the step: that says nothing of the mesh.
func TestPrometheusAway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	spec := v1alpha1.PrometheusAnalysis{Address: server.URL, Queries: []v1alpha1.PrometheusQuery{{Name: "errors", Query: "up", Max: "1"}}}
	if got := analysis.Prometheus(t.Context(), spec, "default-2", "default", time.Now()); got.Good || got.Bad != "" || got.Missing == "" {
		t.Errorf("got %+v", got)
	}
}
