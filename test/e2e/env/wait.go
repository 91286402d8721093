// SPDX-License-Identifier: Apache-2.0

package env

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Poll is the time between two looks at what is waited for.
const Poll = 250 * time.Millisecond

// Eventually calls check until it returns nil, at most for limit. The error is
// the last one of check, with what was waited for.
func Eventually(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // the error of a cut-off call hides the reason
			last = err
		}
		select {
		case <-time.After(Poll):
		case <-ctx.Done():
			return fmt.Errorf("%s: not after %.0f s: %w", what, time.Since(start).Seconds(), last)
		}
	}
}

// Condition is one entry of an object's status.conditions.
type Condition struct {
	Status, Reason, Message string
	// Current says that the condition speaks of the object's present spec.
	Current bool
}

// ConditionOf finds the condition of a type; ok is false when there is none.
func ConditionOf(u *unstructured.Unstructured, kind string) (Condition, bool) {
	list, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		return Condition{}, false
	}
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok || m["type"] != kind {
			continue
		}
		text := func(key string) string { s, _ := m[key].(string); return s }
		c := Condition{Status: text("status"), Reason: text("reason"), Message: text("message"), Current: true}
		// Istio kinds keep the generation as a string, Kubernetes as a number.
		if seen, ok := m["observedGeneration"]; ok {
			c.Current = fmt.Sprint(seen) == fmt.Sprint(u.GetGeneration())
		}
		return c, true
	}
	return Condition{}, false
}

// WaitCondition waits until the object's condition has the wanted status for
// its present generation, and returns the condition.
func (c *Cluster) WaitCondition(ctx context.Context, limit time.Duration, gvk schema.GroupVersionKind, namespace, name, kind, status string) (Condition, error) {
	var got Condition
	what := fmt.Sprintf("%s %s with %s=%s", gvk.Kind, name, kind, status)
	err := Eventually(ctx, limit, what, func(ctx context.Context) error {
		u, err := c.Get(ctx, gvk, namespace, name)
		if err != nil {
			return err
		}
		var ok bool
		got, ok = ConditionOf(u, kind)
		switch {
		case !ok:
			return errors.New("the condition is not there")
		case !got.Current:
			return errors.New("the condition is of an older generation")
		case got.Status != status:
			return fmt.Errorf("it is %s (%s): %s", got.Status, got.Reason, got.Message)
		}
		return nil
	})
	return got, err
}

// WaitDeployments waits until the named Deployments, or all of the namespace
// when none is named, run their present template with all replicas available
// and no pod of an older template left.
func (c *Cluster) WaitDeployments(ctx context.Context, limit time.Duration, namespace string, names ...string) error {
	return Eventually(ctx, limit, "Deployments of "+namespace, func(ctx context.Context) error {
		list, err := c.Kube.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		found := map[string]*appsv1.Deployment{}
		for i := range list.Items {
			found[list.Items[i].Name] = &list.Items[i]
			if len(names) == 0 {
				if err := c.deploymentReady(ctx, &list.Items[i]); err != nil {
					return err
				}
			}
		}
		for _, n := range names {
			if found[n] == nil {
				return fmt.Errorf("there is no Deployment %s", n)
			}
			if err := c.deploymentReady(ctx, found[n]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Cluster) deploymentReady(ctx context.Context, d *appsv1.Deployment) error {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.AvailableReplicas == want && s.Replicas == want {
		return nil
	}
	for _, cond := range s.Conditions {
		if cond.Type == appsv1.DeploymentReplicaFailure && cond.Status == corev1.ConditionTrue {
			return fmt.Errorf("deployment %s cannot make its pods: %s", d.Name, cond.Message)
		}
	}
	return fmt.Errorf("deployment %s has %d of %d pods available, %d updated%s", d.Name, s.AvailableReplicas, want, s.UpdatedReplicas,
		c.podTrouble(ctx, d.Namespace, metav1.FormatLabelSelector(d.Spec.Selector)))
}

// podTrouble says why pods are not ready, as far as their status tells.
func (c *Cluster) podTrouble(ctx context.Context, namespace, selector string) string {
	pods, err := c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return ""
	}
	var out []string
	for _, p := range pods.Items {
		for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			switch {
			case s.State.Waiting != nil && s.State.Waiting.Reason != "PodInitializing":
				out = append(out, fmt.Sprintf("%s/%s: %s %s", p.Name, s.Name, s.State.Waiting.Reason, s.State.Waiting.Message))
			case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
				out = append(out, fmt.Sprintf("%s/%s: ended with %d", p.Name, s.Name, s.State.Terminated.ExitCode))
			}
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, "; ") + ")"
}

// PodOf returns a pod that is ready, not on its way out, and has the labels.
func (c *Cluster) PodOf(ctx context.Context, namespace, selector string) (*corev1.Pod, error) {
	pods, err := c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list the pods %s in %s: %w", selector, namespace, err)
	}
	for i, p := range pods.Items {
		if p.DeletionTimestamp == nil && podReady(&p) {
			return &pods.Items[i], nil
		}
	}
	return nil, fmt.Errorf("none of the %d pods %s in %s is ready", len(pods.Items), selector, namespace)
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// WaitGone waits until the object does not exist.
func (c *Cluster) WaitGone(ctx context.Context, limit time.Duration, gvk schema.GroupVersionKind, namespace, name string) error {
	return Eventually(ctx, limit, fmt.Sprintf("%s %s gone", gvk.Kind, name), func(ctx context.Context) error {
		u, err := c.Get(ctx, gvk, namespace, name)
		if apierrors.IsNotFound(err) || notServed(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("it is still there (deleted at %v, finalizers %v)", u.GetDeletionTimestamp(), u.GetFinalizers())
	})
}

// WaitNoPods waits until no pod with the labels is left.
func (c *Cluster) WaitNoPods(ctx context.Context, limit time.Duration, namespace, selector string) error {
	return Eventually(ctx, limit, "no pods "+selector+" in "+namespace, func(ctx context.Context) error {
		pods, err := c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("there are %d", len(pods.Items))
		}
		return err
	})
}

// Address returns the address of a Service of type LoadBalancer.
func (c *Cluster) Address(ctx context.Context, limit time.Duration, namespace, service string) (string, error) {
	var address string
	err := Eventually(ctx, limit, "an address of Service "+service, func(ctx context.Context) error {
		s, err := c.Kube.CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, in := range s.Status.LoadBalancer.Ingress {
			if address = in.IP; address == "" {
				address = in.Hostname
			}
			if address != "" {
				return nil
			}
		}
		return errors.New("its status has none (does the cluster serve Services of type LoadBalancer?)")
	})
	return address, err
}
