// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"context"
	"strconv"
	"time"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/analysis"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// analysisPace is how often a step that soaks is analysed.
const analysisPace = 10 * time.Second

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
	return analysis.Prometheus(ctx, *c.Analysis.Prometheus, w.Status.To, w.Status.From, w.Now)
}
