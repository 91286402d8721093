// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/analysis"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/revision"
	"github.com/meshwright/meshwright/internal/selfcheck"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// Prober asks control planes how their proxies are.
type Prober interface {
	// Proxies adds up the proxies of all replicas; an error means that it is not known.
	Proxies(ctx context.Context, controlPlane selfcheck.ControlPlane) (report.Proxies, error)
}

// analysisPace is how often an upgrade that moves workloads is analysed.
const analysisPace = 10 * time.Second

// analysed is the latest verdict about a mesh.
type analysed struct {
	at time.Time
	// to is the revision that workloads are moved to, and moment the phase and step.
	to, moment string
	verdict    upgrade.Verdict
	// before is what proxies of the control plane before have refused since the
	// upgrade began: when they have moved, it cannot be seen any more.
	before map[string]report.Refusal
}

// analyse says whether the current step is well. It looks every ten seconds. What
// it finds before a step soaks is only remembered.
func (r *Reconciler) analyse(ctx context.Context, mesh, namespace string, w upgrade.World) upgrade.Verdict {
	next := analysed{at: w.Now, to: w.Status.To, moment: fmt.Sprintf("%s/%d", w.Status.Phase, w.Status.Step), before: map[string]report.Refusal{}}
	r.mu.Lock()
	last := r.analyses[mesh]
	r.mu.Unlock()
	if last.to == next.to {
		if last.moment == next.moment && w.Now.Sub(last.at) < analysisPace {
			return last.verdict
		}
		maps.Copy(next.before, last.before)
	}
	next.verdict = r.judge(ctx, namespace, w, next.before)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.analyses == nil {
		r.analyses = map[string]analysed{}
	}
	r.analyses[mesh] = next
	return next.verdict
}

// judge looks at the proxies, then asks Prometheus, where the strategy names one.
func (r *Reconciler) judge(ctx context.Context, namespace string, w upgrade.World, before map[string]report.Refusal) upgrade.Verdict {
	if r.Prober != nil {
		if verdict := r.discovery(ctx, namespace, w, before); !verdict.Good {
			return verdict
		}
	}
	c := w.Strategy.Canary
	if c == nil || c.Analysis == nil || c.Analysis.Prometheus == nil || w.Status.Phase != v1alpha1.UpgradeSoaking {
		return upgrade.Verdict{Good: true}
	}
	return analysis.Prometheus(ctx, *c.Analysis.Prometheus, w.Status.To, w.Status.From, w.Now)
}

// discovery compares what the control planes say of their proxies.
func (r *Reconciler) discovery(ctx context.Context, namespace string, w upgrade.World, before map[string]report.Refusal) upgrade.Verdict {
	refused, err := r.refusals(ctx, namespace)
	if err != nil {
		return upgrade.Verdict{Missing: "what proxies refuse is not known: " + err.Error()}
	}
	maps.Copy(before, refused[w.Status.From])
	if w.Status.Phase != v1alpha1.UpgradeSoaking {
		return upgrade.Verdict{Good: true}
	}
	next := analysis.Side{Revision: w.Status.To, Refused: refused[w.Status.To]}
	if next.Proxies, err = r.Prober.Proxies(ctx, controlPlane(namespace, next.Revision)); err != nil {
		return upgrade.Verdict{Missing: "how the proxies of " + next.Revision + " are is not known: " + err.Error()}
	}
	previous := analysis.Side{Revision: w.Status.From, Refused: before}
	if previous.Proxies, err = r.Prober.Proxies(ctx, controlPlane(namespace, previous.Revision)); err != nil {
		// It only excuses; an upgrade may be what gets rid of it.
		log.FromContext(ctx).V(1).Info("cannot ask the control plane that is replaced", "revision", previous.Revision, "reason", err.Error())
	}
	return analysis.Discovery(next, previous, w.Proxies(next.Revision))
}

func controlPlane(namespace, of string) selfcheck.ControlPlane {
	return selfcheck.ControlPlane{
		Namespace: namespace, ServerName: revision.ControlPlaneName(of) + "." + namespace + ".svc",
		Selector: map[string]string{"app": "meshwright", placement.LabelRevision: of},
	}
}

// refusals reads what proxies of the control planes in a namespace refuse, by
// revision and resource.
func (r *Reconciler) refusals(ctx context.Context, namespace string) (map[string]map[string]report.Refusal, error) {
	var board corev1.ConfigMap
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: report.Board}, &board)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", namespace, report.Board, err)
	}
	out := map[string]map[string]report.Refusal{}
	for _, text := range board.Data {
		var note report.Note
		if json.Unmarshal([]byte(text), &note) != nil {
			continue // Text that is no note says nothing.
		}
		if out[note.Revision] == nil {
			out[note.Revision] = map[string]report.Refusal{}
		}
		for _, one := range note.Refusals {
			out[note.Revision][one.Resource] = one
		}
	}
	return out, nil
}
