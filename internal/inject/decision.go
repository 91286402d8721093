// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/placement"
)

// Labels and annotations that decide about injection, in the spelling of Istio's manifests.
const (
	LabelNamespace = "istio-injection"
	LabelInject    = "sidecar.istio.io/inject"
)

// DefaultRevision is the revision that serves namespaces labelled istio-injection=enabled.
const DefaultRevision = "default"

// systemNamespaces never get a proxy: the cluster must be able to start without us.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease"}

// Reason says why a pod is or is not injected; it is a closed set, used as a metric label.
type Reason string

// The reasons in the order in which they are tried.
const (
	ReasonInjected     Reason = "AlreadyInjected"
	ReasonHostNetwork  Reason = "HostNetwork"
	ReasonWindows      Reason = "Windows"
	ReasonSystem       Reason = "SystemNamespace"
	ReasonPodOff       Reason = "PodDisabled"
	ReasonNamespaceOn  Reason = "NamespaceEnabled"
	ReasonNamespaceOff Reason = "NamespaceDisabled"
	ReasonRevision     Reason = "NamespaceRevision"
	ReasonOther        Reason = "OtherRevision"
	ReasonPodRevision  Reason = "PodRevision"
	ReasonPodOn        Reason = "PodEnabled"
	ReasonNoLabel      Reason = "NotLabelled"
)

// Decision is the outcome for one pod.
type Decision struct {
	Inject bool
	Reason Reason
}

// Decide applies the rules of precedence for the control plane of the given revision: what the pod cannot have, then
// the pod's own refusal, then the namespace's labels (istio-injection before istio.io/rev), then the pod's labels.
// See https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#controlling-the-injection-policy.
func Decide(revision, namespace string, namespaceLabels map[string]string, pod *corev1.Pod) Decision {
	if reason, bad := unfit(namespace, pod); bad {
		return Decision{Reason: reason}
	}
	wish := podWish(pod)
	if wish == wishOff {
		return Decision{Reason: ReasonPodOff}
	}
	switch value, labelled := namespaceLabels[LabelNamespace]; {
	case labelled && value == "enabled":
		return forRevision(revision, DefaultRevision, ReasonNamespaceOn)
	case labelled:
		return Decision{Reason: ReasonNamespaceOff}
	}
	if wanted, labelled := namespaceLabels[placement.LabelRevision]; labelled {
		return forRevision(revision, wanted, ReasonRevision)
	}
	if wanted, labelled := pod.Labels[placement.LabelRevision]; labelled {
		return forRevision(revision, wanted, ReasonPodRevision)
	}
	// Only the label reaches the webhook in a namespace without labels; the annotation alone never did.
	if isOn(pod.Labels[LabelInject]) {
		return forRevision(revision, DefaultRevision, ReasonPodOn)
	}
	return Decision{Reason: ReasonNoLabel}
}

func unfit(namespace string, pod *corev1.Pod) (Reason, bool) {
	switch {
	case isInjected(pod):
		return ReasonInjected, true
	case pod.Spec.HostNetwork:
		// Its network namespace is the node's; redirecting there would take the node's own traffic.
		return ReasonHostNetwork, true
	case pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows:
		return ReasonWindows, true
	case slices.Contains(systemNamespaces, namespace):
		return ReasonSystem, true
	}
	return "", false
}

// isInjected believes the annotation only when the containers that it names are there: a pod that was copied from a
// running one keeps the annotation but may have lost the proxy.
func isInjected(pod *corev1.Pod) bool {
	var state status
	if json.Unmarshal([]byte(pod.Annotations[placement.AnnotationState]), &state) != nil || !slices.Contains(state.InitContainers, ProxyContainer) {
		return false
	}
	for _, name := range state.InitContainers {
		if !slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
			return c.Name == name && (name != ProxyContainer || isSidecar(c))
		}) {
			return false
		}
	}
	return true
}

func isSidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func forRevision(ours, wanted string, reason Reason) Decision {
	if ours != wanted {
		return Decision{Reason: ReasonOther}
	}
	return Decision{Inject: true, Reason: reason}
}

type wish int

const (
	wishNone wish = iota
	wishOn
	wishOff
)

// podWish reads the pod's label, and without it the annotation. A value that is neither yes nor empty counts as no, as
// users of Istio know it.
func podWish(pod *corev1.Pod) wish {
	value, labelled := pod.Labels[LabelInject]
	if !labelled {
		value = pod.Annotations[LabelInject]
	}
	switch {
	case value == "":
		return wishNone
	case isOn(value):
		return wishOn
	default:
		return wishOff
	}
}

func isOn(value string) bool {
	return slices.Contains([]string{"true", "y", "yes", "on"}, strings.ToLower(value))
}
