// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/upgrade"
)

const (
	// analysisPace is how often a step that soaks is analysed.
	analysisPace = 10 * time.Second
	// queryLimit bounds one query.
	queryLimit = 5 * time.Second
)

// analysed is the latest verdict about a mesh.
type analysed struct {
	at      time.Time
	step    string
	verdict upgrade.Verdict
}

// analyse says whether the current step is well. It asks every ten seconds.
func (r *Reconciler) analyse(ctx context.Context, mesh *v1alpha1.MeshOperator, w upgrade.World) upgrade.Verdict {
	step := w.Status.To + "/" + strconv.Itoa(int(w.Status.Step))
	r.mu.Lock()
	last := r.analyses[mesh.Name]
	r.mu.Unlock()
	if last.step == step && w.Now.Sub(last.at) < analysisPace {
		return last.verdict
	}
	verdict := r.judge(ctx, w)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.analyses == nil {
		r.analyses = map[string]analysed{}
	}
	r.analyses[mesh.Name] = analysed{at: w.Now, step: step, verdict: verdict}
	return verdict
}

// judge asks Prometheus, where the strategy names one.
func (r *Reconciler) judge(ctx context.Context, w upgrade.World) upgrade.Verdict {
	c := w.Strategy.Canary
	if c == nil || c.Analysis == nil || c.Analysis.Prometheus == nil {
		return upgrade.Verdict{Good: true}
	}
	p := c.Analysis.Prometheus
	client, err := api.NewClient(api.Config{Address: p.Address})
	if err != nil {
		return upgrade.Verdict{Missing: fmt.Sprintf("spec.upgradeStrategy.canary.analysis.prometheus.address: %v", err)}
	}
	asker := promv1.NewAPI(client)
	names := strings.NewReplacer("$(revision)", w.Status.To, "$(previous)", w.Status.From)
	for _, q := range p.Queries {
		value, missing := ask(ctx, asker, names.Replace(q.Query), w.Now)
		if missing != "" {
			return upgrade.Verdict{Missing: "query " + q.Name + ": " + missing}
		}
		if bad := beyond(q, value); bad != "" {
			return upgrade.Verdict{Bad: "query " + q.Name + ": " + bad}
		}
	}
	return upgrade.Verdict{Good: true}
}

// ask returns the one number that a query yields, or why there is none.
func ask(ctx context.Context, asker promv1.API, query string, now time.Time) (value float64, missing string) {
	bounded, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	result, _, err := asker.Query(bounded, query, now)
	if err != nil {
		return 0, err.Error()
	}
	switch v := result.(type) {
	case *model.Scalar:
		value = float64(v.Value)
	case model.Vector:
		if len(v) != 1 {
			return 0, fmt.Sprintf("it yields %d numbers, want one", len(v))
		}
		value = float64(v[0].Value)
	default:
		return 0, fmt.Sprintf("it yields a %s, want one number", result.Type())
	}
	if math.IsNaN(value) {
		return 0, "it yields no number (NaN)"
	}
	return value, ""
}

// beyond says by which bound a value is bad. Bounds are decimal numbers, as the
// schema has seen to.
func beyond(q v1alpha1.PrometheusQuery, value float64) string {
	if limit, err := strconv.ParseFloat(q.Max, 64); err == nil && value > limit {
		return fmt.Sprintf("%g is above %s", value, q.Max)
	}
	if limit, err := strconv.ParseFloat(q.Min, 64); err == nil && value < limit {
		return fmt.Sprintf("%g is below %s", value, q.Min)
	}
	return ""
}
