// SPDX-License-Identifier: Apache-2.0

// Package rollout watches and restarts the workloads of users: Deployments,
// StatefulSets and DaemonSets
// (https://kubernetes.io/docs/concepts/workloads/controllers/).
package rollout

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/health"
)

// State is what is seen of one workload.
type State struct {
	// Mark is the annotation of the pod template that says for which revision the
	// workload was restarted last.
	Mark string
	// Before is the annotation that an upgrade left; empty for none.
	Before string
	// Settled is true when all its pods are of its template, and available.
	Settled bool
	// Manual is why a change of its template does not replace its pods; empty
	// when it does.
	Manual string
	// sheds is how many pods a rollout takes away before new ones serve.
	sheds int
	pods  labels.Set
}

// Of reads the state of a Deployment, StatefulSet or DaemonSet.
func Of(object client.Object) State {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return deployment(o)
	case *appsv1.StatefulSet:
		return statefulSet(o)
	case *appsv1.DaemonSet:
		return daemonSet(o)
	}
	return State{Manual: "it is of a kind whose pods are not replaced"}
}

func state(meta metav1.Object, template corev1.PodTemplateSpec) State {
	return State{
		Mark:   template.Annotations[v1alpha1.AnnotationProxyRevision],
		Before: meta.GetAnnotations()[v1alpha1.AnnotationProxyRevisionBefore], pods: template.Labels,
	}
}

func deployment(d *appsv1.Deployment) State {
	out := state(d, d.Spec.Template)
	want := count(d.Spec.Replicas)
	out.Settled = health.Deployment(d) == ""
	switch r := d.Spec.Strategy.RollingUpdate; {
	case d.Spec.Paused:
		out.Manual = "its rollouts are paused (spec.paused)"
	case d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		out.sheds = int(want)
	case r != nil && r.MaxUnavailable != nil:
		// The controller rounds down, and then takes one when nothing may be added either.
		out.sheds, _ = intstr.GetScaledValueFromIntOrPercent(r.MaxUnavailable, int(want), false)
	}
	return out
}

func statefulSet(s *appsv1.StatefulSet) State {
	out := state(s, s.Spec.Template)
	want := count(s.Spec.Replicas)
	out.sheds = 1
	out.Settled = s.Status.ObservedGeneration >= s.Generation && s.Status.UpdatedReplicas >= want &&
		s.Status.AvailableReplicas >= want && s.Status.Replicas <= want
	switch u := s.Spec.UpdateStrategy; {
	case u.Type == appsv1.OnDeleteStatefulSetStrategyType:
		out.Manual = "its pods are replaced by hand (updateStrategy OnDelete)"
	case u.RollingUpdate != nil && u.RollingUpdate.Partition != nil && *u.RollingUpdate.Partition > 0:
		out.Manual = fmt.Sprintf("its rollouts stop at partition %d", *u.RollingUpdate.Partition)
	}
	return out
}

func daemonSet(d *appsv1.DaemonSet) State {
	out := state(d, d.Spec.Template)
	out.sheds = 1
	out.Settled = health.DaemonSet(d) == ""
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		out.Manual = "its pods are replaced by hand (updateStrategy OnDelete)"
	}
	return out
}

func count(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// Blocked names a budget that a restart would break now, or returns "". A
// rollout that adds a pod before it takes one away breaks none.
func (s State) Blocked(budgets []policyv1.PodDisruptionBudget) string {
	if s.sheds == 0 {
		return ""
	}
	for i := range budgets {
		b := &budgets[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(s.pods) {
			continue
		}
		if b.Status.DisruptionsAllowed < 1 {
			return "PodDisruptionBudget " + b.Name + " allows no disruption now"
		}
	}
	return ""
}
