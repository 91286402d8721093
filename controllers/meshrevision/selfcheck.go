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

// checkWebhooks lets the API server ask the webhooks, when they or the control plane behind them changed since they
// answered last.
func (r *Reconciler) checkWebhooks(ctx context.Context, s *scope) error {
	if r.Prober == nil || s.gate != nil {
		return nil
	}
	wanted := webhooksOf(s)
	versions, now := s.versionsOf(stageControlPlane, stageWebhooks), time.Now()
	if r.checked.fresh(s.revision.Name+"/webhooks", versions, now) {
		return nil
	}
	err := r.Prober.Webhooks(ctx, wanted)
	if err == nil {
		r.checked.set(s.revision.Name+"/webhooks", versions, now)
		return nil
	}
	selfCheckFailures.WithLabelValues("webhooks").Inc()
	r.checked.set(s.revision.Name+"/webhooks", "", now)
	return conditions.Wait(v1alpha1.ReasonWebhooksNotReady, recheckUnanswered, "the webhooks of revision %s do not answer: %v", wanted.Revision, err)
}

// webhooksOf says what of the webhooks a revision has.
func webhooksOf(s *scope) selfcheck.Webhooks {
	out := selfcheck.Webhooks{Namespace: s.revision.Spec.Namespace, Revision: s.revision.Name}
	for _, i := range s.items {
		out.Injector = out.Injector || i.object.GetKind() == "MutatingWebhookConfiguration"
		out.Validator = out.Validator || i.object.GetKind() == "ValidatingWebhookConfiguration"
	}
	return out
}

// recheckUnanswered is short: an API server takes a second to learn of a new webhook.
const recheckUnanswered = time.Second

var _ Prober = (*selfcheck.Prober)(nil)
