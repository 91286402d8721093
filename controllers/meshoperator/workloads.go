// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/health"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/rollout"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// proxyContainers are those that the injector adds.
var proxyContainers = []string{"istio-init", "istio-validation", "istio-proxy"}

// mostPods is how many pods of one workload are read to see why it does not come up.
const mostPods = 3

// workloads returns what has proxies of the mesh, in the order of their places.
// to is the revision that an upgrade moves them to.
func (r *Reconciler) workloads(ctx context.Context, seen use, to string) ([]upgrade.Workload, error) {
	reader, err := r.Rollouts.Reader(ctx)
	if err != nil {
		return nil, err
	}
	byKey := map[placement.Workload]*upgrade.Workload{}
	fresh := map[placement.Workload][]string{} // pods with the new proxy
	for revision, pods := range seen.pods {
		for i := range pods {
			key := placement.Of(&pods[i])
			w := byKey[key]
			if w == nil {
				w = &upgrade.Workload{Workload: key, Place: key.Place(), Pods: map[string]int{}}
				byKey[key] = w
			}
			w.Pods[revision]++
			if revision == to {
				fresh[key] = append(fresh[key], pods[i].Name)
			}
		}
	}
	namespaces := map[string]*space{}
	var out []upgrade.Workload
	for key, w := range byKey {
		if namespaces[key.Namespace] == nil {
			if namespaces[key.Namespace], err = r.space(ctx, reader, key.Namespace); err != nil {
				return nil, err
			}
		}
		if err := r.describe(ctx, reader, namespaces[key.Namespace], w, to, fresh[key]); err != nil {
			return nil, err
		}
		out = append(out, *w)
	}
	slices.SortFunc(out, func(a, b upgrade.Workload) int { return cmp.Compare(a.Place, b.Place) })
	return out, nil
}

// space is what workloads of one namespace share.
type space struct {
	labels  labels.Set
	budgets []policyv1.PodDisruptionBudget
}

func (r *Reconciler) space(ctx context.Context, reader client.Reader, name string) (*space, error) {
	var budgets policyv1.PodDisruptionBudgetList
	if err := reader.List(ctx, &budgets, client.InNamespace(name)); err != nil {
		return nil, fmt.Errorf("list the PodDisruptionBudgets of namespace %s: %w", name, err)
	}
	var namespace corev1.Namespace
	if err := reader.Get(ctx, types.NamespacedName{Name: name}, &namespace); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read namespace %s: %w", name, err)
	}
	return &space{labels: namespace.Labels, budgets: budgets.Items}, nil
}

// describe fills in what is seen of a workload itself.
func (r *Reconciler) describe(ctx context.Context, reader client.Reader, in *space, w *upgrade.Workload, to string, fresh []string) error {
	w.Labels = in.labels
	var object client.Object
	switch w.Kind {
	case "Deployment":
		object = &appsv1.Deployment{}
	case "StatefulSet":
		object = &appsv1.StatefulSet{}
	case "DaemonSet":
		object = &appsv1.DaemonSet{}
	default:
		w.Settled, w.Stuck = true, "a "+w.Kind+" is not restarted; it gets the new proxy when its pods are created anew"
		return nil
	}
	err := reader.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: w.Name}, object)
	if apierrors.IsNotFound(err) {
		w.Settled, w.Stuck = true, "it is gone, and its pods are not yet"
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", w, err)
	}
	state := rollout.Of(object)
	w.Mark, w.Settled, w.Stuck = state.Mark, state.Settled, state.Manual
	if revision, before, ok := strings.Cut(state.Before, "="); ok && revision == to {
		w.Before = &before
	}
	marked := upgrade.Marked(w.Mark, to)
	switch {
	case w.Stuck != "" || w.Settled && marked:
	case w.Settled:
		w.Blocked = state.Blocked(in.budgets)
	case !marked && w.Before == nil && len(fresh) == 0:
		w.Stuck = "it is not ready, or being rolled out, without this upgrade"
	case marked:
		w.Broken, err = r.broken(ctx, w.Namespace, fresh)
	}
	return err
}

// broken says why a pod with a new proxy does not start.
func (r *Reconciler) broken(ctx context.Context, namespace string, pods []string) (string, error) {
	slices.Sort(pods)
	for _, name := range pods[:min(len(pods), mostPods)] {
		var pod corev1.Pod
		err := r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &pod)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
		}
		if what := health.Broken(&pod, proxyContainers...); what != "" {
			return what, nil
		}
	}
	return "", nil
}

// restart carries restarts out. The annotation on the workload says for which
// upgrade it keeps what the template said before.
func (r *Reconciler) restart(ctx context.Context, mesh *v1alpha1.MeshOperator, to string, list []upgrade.Restart) error {
	var failed []error
	for _, one := range list {
		var before *string
		if one.Before != nil {
			text := to + "=" + *one.Before
			before = &text
		}
		if err := rollout.Restart(ctx, r.Client, apply.Manager, one.Workload, one.Mark, before); err != nil {
			failed = append(failed, err)
			continue
		}
		action := "for revision " + to
		if one.Before == nil {
			action = "to undo the upgrade to revision " + to
		}
		r.event(mesh, corev1.EventTypeNormal, "WorkloadRestarted", one.Workload.String()+" is restarted "+action)
	}
	return errors.Join(failed...)
}
