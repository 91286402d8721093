// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"strings"
	"sync"
	"time"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/selfcheck"
)

// Prober asks what was installed whether it answers.
type Prober interface {
	// Webhooks asks the webhooks of one revision through the API server.
	Webhooks(ctx context.Context, webhooks selfcheck.Webhooks) error
	// ControlPlane asks every replica that is ready.
	ControlPlane(ctx context.Context, controlPlane selfcheck.ControlPlane) error
}

// checked remembers what answered, so that an operator at rest asks nothing. It is not kept over a restart: what a
// new operator finds it looks at itself.
type checked struct {
	mu   sync.Mutex
	last map[string]check
}

type check struct {
	// versions are those of the objects when they answered.
	versions string
	at       time.Time
}

func (c *checked) fresh(name, versions string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.last[name]
	return ok && last.versions == versions && now.Sub(last.at) < recheck
}

// set remembers that a check succeeded, or forgets it when versions is empty.
func (c *checked) set(name, versions string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[string]check{}
	}
	if versions == "" {
		delete(c.last, name)
		return
	}
	c.last[name] = check{versions: versions, at: now}
}

// versionsOf names the state of the live objects of stages. It is empty when one is not there.
func (s *scope) versionsOf(stages ...stage) string {
	var out strings.Builder
	for _, i := range s.items {
		for _, wanted := range stages {
			if i.stage != wanted {
				continue
			}
			if i.live == nil {
				return ""
			}
			out.WriteString(i.live.GetResourceVersion() + " ")
		}
	}
	return out.String()
}

// answers runs a self-check when the objects of the stages changed since it succeeded last, or when that is long ago. It
// is not run behind a closed gate, where nothing new is believed.
func (r *Reconciler) answers(s *scope, check string, stages []stage, ask func() error) error {
	if r.Prober == nil || s.gate != nil {
		return nil
	}
	name, versions, now := s.revision.Name+"/"+check, s.versionsOf(stages...), time.Now()
	if r.checked.fresh(name, versions, now) {
		return nil
	}
	if err := ask(); err != nil {
		selfCheckFailures.WithLabelValues(check).Inc()
		r.checked.set(name, "", now)
		return err
	}
	r.checked.set(name, versions, now)
	return nil
}

// checkWebhooks lets the API server ask the webhooks.
func (r *Reconciler) checkWebhooks(ctx context.Context, s *scope) error {
	wanted := webhooksOf(s)
	err := r.answers(s, "webhooks", []stage{stageControlPlane, stageWebhooks}, func() error { return r.Prober.Webhooks(ctx, wanted) })
	if err != nil {
		return conditions.Wait(v1alpha1.ReasonWebhooksNotReady, recheckUnanswered, "the webhooks of revision %s do not answer: %v", wanted.Revision, err)
	}
	return nil
}

// checkControlPlane asks the replicas of the control plane.
func (r *Reconciler) checkControlPlane(ctx context.Context, s *scope) error {
	for _, i := range s.items {
		if i.stage != stageControlPlane || i.object.GetKind() != "Deployment" {
			continue
		}
		selector, ok := selectorOf(i.object)
		if !ok {
			continue
		}
		wanted := selfcheck.ControlPlane{
			Namespace: i.entry.Namespace, ServerName: i.entry.Name + "." + i.entry.Namespace + ".svc", Selector: selector,
		}
		err := r.answers(s, "xds", []stage{stageControlPlane}, func() error { return r.Prober.ControlPlane(ctx, wanted) })
		if err != nil {
			return conditions.Wait(v1alpha1.ReasonControlPlaneNotReady, recheckUnanswered, "%v", err)
		}
	}
	return nil
}

// webhooksOf says what of the webhooks a revision has.
func webhooksOf(s *scope) selfcheck.Webhooks {
	out := selfcheck.Webhooks{Namespace: s.revision.Spec.Namespace, Revision: s.revision.Name}
	for _, i := range s.items {
		out.Add(i.object.GetKind())
	}
	return out
}

// recheckUnanswered is short: an API server takes a second to learn of a new webhook.
const recheckUnanswered = time.Second

var _ Prober = (*selfcheck.Prober)(nil)
