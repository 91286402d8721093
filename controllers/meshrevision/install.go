// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/health"
	"github.com/meshwright/meshwright/internal/trust"
)

func (r *Reconciler) applyDefinitions(ctx context.Context, s *scope) error {
	var missing []string
	for _, object := range s.definitions {
		definition, err := r.Applier.Define(ctx, object)
		if err != nil {
			return answer.Refused(err)
		}
		if len(definition.Lacking) > 0 {
			return conditions.Stall(v1alpha1.ReasonObjectConflict,
				"%s belongs to %s and does not serve version %s; upgrade it there, or delete it so that the operator installs its own",
				health.Name(object), definition.Foreign, strings.Join(definition.Lacking, ", "))
		}
		if definition.Drifted {
			r.drifted(s, health.Name(object), "was changed or deleted")
		}
		if definition.Missing != "" {
			missing = append(missing, definition.Missing)
		}
	}
	if len(missing) > 0 {
		return conditions.Wait(v1alpha1.ReasonCRDsNotReady, time.Second, "%s", summarize(missing))
	}
	return nil
}

func (r *Reconciler) applyControlPlane(ctx context.Context, s *scope) error {
	if err := r.claimName(ctx, s); err != nil {
		return err
	}
	if err := r.applyStage(ctx, s, stageControlPlane); err != nil {
		return err
	}
	if err := r.await(ctx, s, stageControlPlane, v1alpha1.ReasonControlPlaneNotReady); err != nil {
		return err
	}
	return r.checkControlPlane(ctx, s)
}

// claimName stalls before a control plane is begun whose webhooks are somebody else's: they are the revision's name, and
// two control planes would both write the root certificates of all namespaces.
func (r *Reconciler) claimName(ctx context.Context, s *scope) error {
	for _, i := range s.items {
		if i.stage != stageWebhooks {
			continue
		}
		before := s.recorded(i.entry)
		if err := r.Applier.Claimable(ctx, i.object, before != nil && before.Digest != ""); err != nil {
			return answer.Refused(err)
		}
	}
	return nil
}

func (r *Reconciler) applyWebhooks(ctx context.Context, s *scope) error {
	if err := r.applyStage(ctx, s, stageWebhooks); err != nil {
		return err
	}
	if err := r.await(ctx, s, stageWebhooks, v1alpha1.ReasonWebhooksNotReady); err != nil {
		return err
	}
	return r.checkWebhooks(ctx, s)
}

func (r *Reconciler) applyGateways(ctx context.Context, s *scope) error {
	if err := r.awaitRoots(ctx, s); err != nil {
		return err
	}
	if err := r.applyStage(ctx, s, stageGateways); err != nil {
		return err
	}
	r.describeGateways(s)
	return r.await(ctx, s, stageGateways, v1alpha1.ReasonGatewaysNotReady)
}

// awaitRoots waits for the root certificate where a gateway is new: one that
// starts before it is there waits for the kubelet's next try.
func (r *Reconciler) awaitRoots(ctx context.Context, s *scope) error {
	asked := map[string]bool{}
	for _, i := range s.items {
		if i.stage != stageGateways || i.object.GetKind() != "Deployment" || asked[i.entry.Namespace] {
			continue
		}
		if before := s.recorded(i.entry); before != nil && before.Digest != "" || s.gate != nil {
			continue
		}
		asked[i.entry.Namespace] = true
		_, err := trust.Roots(ctx, r.Reader, i.entry.Namespace)
		if errors.Is(err, trust.ErrMissing) {
			return conditions.Wait(v1alpha1.ReasonGatewaysNotReady, time.Second, "%v", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// applyStage applies the objects of one stage. Behind a closed gate it applies
// only what was applied before in the same form: that puts drift back and
// upgrades nothing.
func (r *Reconciler) applyStage(ctx context.Context, s *scope, wanted stage) error {
	for _, i := range s.items {
		if i.stage != wanted {
			continue
		}
		before := s.recorded(i.entry)
		known := before != nil && before.Digest != ""
		if s.gate != nil && (!known || before.Digest != i.entry.Digest) {
			continue
		}
		if err := s.pin(i); err != nil {
			return err
		}
		result, err := r.Applier.Apply(ctx, i.object, known)
		if err != nil {
			return answer.Refused(err)
		}
		i.live = result.Live
		r.tell(ctx, s, i, result, before)
		if before != nil {
			*before = i.entry
		}
	}
	return nil
}

// tell logs and reports what an apply did that nobody asked for. before is the
// inventory's entry from the last time.
func (r *Reconciler) tell(ctx context.Context, s *scope, i *item, result apply.Result, before *v1alpha1.InventoryEntry) {
	if !result.Changed {
		return
	}
	name := health.Name(i.object)
	log.FromContext(ctx).Info("applied object", "object", name, "created", result.Created, "restored", result.Restored)
	if before == nil || before.Digest == "" {
		return
	}
	switch {
	case result.Created:
		r.drifted(s, name, "was deleted")
	case len(result.Taken) > 0:
		parts := make([]string, len(result.Taken))
		for n, c := range result.Taken {
			parts[n] = c.String()
		}
		r.drifted(s, name, "was changed: "+strings.Join(parts, ", "))
	case len(result.Restored) > 0 && before.Digest == i.entry.Digest:
		r.drifted(s, name, "was changed: "+strings.Join(result.Restored, ", "))
	}
}

// await returns what is not ready in a stage, with the reason of a pod.
func (r *Reconciler) await(ctx context.Context, s *scope, wanted stage, reason string) error {
	var missing []string
	for _, i := range s.items {
		if i.stage != wanted {
			continue
		}
		if i.live == nil {
			// Not applied, because the gate is closed.
			return s.gate
		}
		report, err := health.Of(i.live)
		if err != nil {
			return err
		}
		if i.live.GetDeletionTimestamp() != nil {
			report = health.Report{Message: health.Name(i.live) + ": somebody deletes it; it is made again when it is gone"}
		}
		if report.Ready {
			continue
		}
		if kind := i.object.GetKind(); kind == "Deployment" || kind == "DaemonSet" {
			report.Message += r.trouble(ctx, i)
		}
		missing = append(missing, report.Message)
	}
	if len(missing) > 0 {
		return conditions.Wait(reason, recheckWaiting, "%s", summarize(missing))
	}
	return nil
}

// trouble says why the pods of a Deployment or a DaemonSet are not ready, or "".
func (r *Reconciler) trouble(ctx context.Context, i *item) string {
	selector, ok := selectorOf(i.object)
	if !ok {
		return ""
	}
	var pods corev1.PodList
	err := r.Reader.List(ctx, &pods, client.InNamespace(i.entry.Namespace), client.MatchingLabels(selector), client.Limit(50))
	if err != nil {
		log.FromContext(ctx).Error(err, "listing pods for a message failed", "object", health.Name(i.object))
		return ""
	}
	if what := health.Trouble(pods.Items); what != "" {
		return "; " + what
	}
	return ""
}

// summarize joins messages, and cuts a long list.
func summarize(messages []string) string {
	const most = 3
	if len(messages) > most {
		return strings.Join(messages[:most], "; ") + fmt.Sprintf("; and %d more", len(messages)-most)
	}
	return strings.Join(messages, "; ")
}
