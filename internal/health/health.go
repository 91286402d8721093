// SPDX-License-Identifier: Apache-2.0

// Package health says whether a live object serves, and if not, why, from
// what the object itself reports.
package health

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Report is what Of found.
type Report struct {
	// Ready is true when the object serves.
	Ready bool
	// Message names the object and says what is missing; empty when ready.
	Message string
}

// Of judges a live object by its kind. Kinds that report nothing are ready
// when they exist.
func Of(object *unstructured.Unstructured) (Report, error) {
	switch object.GetKind() {
	case "Deployment":
		return judge(object, Deployment)
	case "DaemonSet":
		return judge(object, DaemonSet)
	case "CustomResourceDefinition":
		return judge(object, definition)
	case "MutatingWebhookConfiguration":
		return judge(object, mutating)
	case "ValidatingWebhookConfiguration":
		return judge(object, validating)
	}
	return Report{Ready: true}, nil
}

func judge[T any](object *unstructured.Unstructured, missing func(*T) string) (Report, error) {
	typed := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
		return Report{}, fmt.Errorf("read %s: %w", Name(object), err)
	}
	what := missing(typed)
	if what == "" {
		return Report{Ready: true}, nil
	}
	return Report{Message: Name(object) + ": " + what}, nil
}

// Deployment says why a Deployment is not wholly rolled out and available, or
// "". It follows what kubectl rollout status looks at
// (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status).
func Deployment(d *appsv1.Deployment) string {
	if d.Status.ObservedGeneration < d.Generation {
		return "its latest change was not acted on yet"
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return "pods cannot be created: " + c.Message
		}
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	switch s := d.Status; {
	case s.UpdatedReplicas < want:
		return fmt.Sprintf("%d of %d replicas are updated, %d available", s.UpdatedReplicas, want, s.AvailableReplicas)
	case s.AvailableReplicas < want:
		return fmt.Sprintf("%d of %d replicas are available", s.AvailableReplicas, want)
	case s.Replicas > s.UpdatedReplicas:
		return fmt.Sprintf("%d old replicas are still there", s.Replicas-s.UpdatedReplicas)
	}
	return ""
}

// DaemonSet says why a DaemonSet is not wholly rolled out and available, or
// "". It follows what kubectl rollout status looks at.
func DaemonSet(d *appsv1.DaemonSet) string {
	if d.Status.ObservedGeneration < d.Generation {
		return "its latest change was not acted on yet"
	}
	switch s := d.Status; {
	case s.UpdatedNumberScheduled < s.DesiredNumberScheduled:
		return fmt.Sprintf("its pods are updated on %d of %d nodes, available on %d", s.UpdatedNumberScheduled, s.DesiredNumberScheduled, s.NumberAvailable)
	case s.NumberAvailable < s.DesiredNumberScheduled:
		return fmt.Sprintf("its pods are available on %d of %d nodes", s.NumberAvailable, s.DesiredNumberScheduled)
	}
	return ""
}

func definition(d *apiextensionsv1.CustomResourceDefinition) string {
	established := false
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == apiextensionsv1.NamesAccepted && c.Status == apiextensionsv1.ConditionFalse:
			return "its names are not accepted: " + c.Message
		case c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue:
			established = true
		}
	}
	if !established {
		return "it is not established yet"
	}
	return ""
}

func mutating(c *admissionregistrationv1.MutatingWebhookConfiguration) string {
	for _, w := range c.Webhooks {
		if what := bundle(w.Name, w.ClientConfig); what != "" {
			return what
		}
	}
	return ""
}

func validating(c *admissionregistrationv1.ValidatingWebhookConfiguration) string {
	for _, w := range c.Webhooks {
		if what := bundle(w.Name, w.ClientConfig); what != "" {
			return what
		}
	}
	return ""
}

// bundle: a webhook works once the control plane has written its CA bundle.
func bundle(name string, config admissionregistrationv1.WebhookClientConfig) string {
	if len(config.CABundle) == 0 {
		return "webhook " + name + " has no CA bundle yet; the control plane writes it when it runs"
	}
	return ""
}

// Name writes an object as KIND NAMESPACE/NAME.
func Name(object *unstructured.Unstructured) string {
	if ns := object.GetNamespace(); ns != "" {
		return object.GetKind() + " " + ns + "/" + object.GetName()
	}
	return object.GetKind() + " " + object.GetName()
}
