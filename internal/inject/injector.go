// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

const (
	msgInjected = "injected the proxy"
	msgSkipped  = "did not inject the proxy"
	msgRefused  = "refused a pod"
	msgFailed   = "could not review a pod"
)

// podResource is the only resource that is injected.
var podResource = metav1.GroupVersionResource{Version: "v1", Resource: "pods"}

// Namespaces answers with the labels of a namespace.
type Namespaces interface {
	NamespaceLabels(ctx context.Context, name string) (map[string]string, error)
}

// Proxies answers with the settings of the proxy of a pod with these labels, and warnings for the user.
type Proxies interface {
	For(namespace string, labels map[string]string) (proxyconfig.Settings, []string)
}

// Injector answers admission reviews of pods under creation. It is safe for concurrent use.
type Injector struct {
	config     Config
	namespaces Namespaces
	proxies    Proxies
	colleagues Colleagues
	failures   rate.Sometimes
	log        logr.Logger
}

// NewInjector fails when the configuration is incomplete.
func NewInjector(config Config, namespaces Namespaces, proxies Proxies, colleagues Colleagues, log logr.Logger) (*Injector, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Injector{
		config: config, namespaces: namespaces, proxies: proxies, colleagues: colleagues,
		failures: rate.Sometimes{Interval: failuresPause}, log: log,
	}, nil
}

// Review allows every pod but one whose annotations are wrong, and adds the proxy where Decide says so. The same pod
// reviewed again, proxy included, is left alone.
func (i *Injector) Review(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return i.review(ctx, placement.Path{Name: i.config.Revision}, request)
}

func (i *Injector) review(ctx context.Context, path placement.Path, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if request.Operation != admissionv1.Create || request.Resource != podResource || request.SubResource != "" {
		return &admissionv1.AdmissionResponse{Allowed: true}
	}
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return i.refuse(request, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Errorf("read the pod: %w", err))
	}
	labels, err := i.namespaces.NamespaceLabels(ctx, request.Namespace)
	if err != nil {
		count(request, "Error")
		i.log.Error(err, msgFailed, "namespace", request.Namespace)
		return denied(http.StatusInternalServerError, metav1.StatusReasonInternalError, fmt.Errorf("read the labels of namespace %s: %w", request.Namespace, err))
	}
	decision := Decide(path.Name, request.Namespace, labels, &pod)
	if !decision.Inject {
		count(request, string(decision.Reason))
		i.log.V(1).Info(msgSkipped, "namespace", request.Namespace, "pod", pod.Name+pod.GenerateName, "reason", decision.Reason)
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: skipWarnings(&pod, decision)}
	}
	if pod.Namespace == "" {
		pod.Namespace = request.Namespace
	}
	answer, warnings := i.passOn(ctx, path, request, &pod)
	if answer != nil {
		return answer
	}
	return i.inject(request, labels, &pod, decision, warnings)
}

// inject adds the own proxy to the pod.
func (i *Injector) inject(
	request *admissionv1.AdmissionRequest, labels map[string]string, pod *corev1.Pod, decision Decision, earlier []string,
) *admissionv1.AdmissionResponse {
	settings, conflicts := i.proxies.For(request.Namespace, pod.Labels)
	operations, warnings, err := i.config.Pod(labels, settings, pod)
	if err != nil {
		return i.refuse(request, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, err)
	}
	body, err := json.Marshal(operations)
	if err != nil {
		return i.refuse(request, http.StatusInternalServerError, metav1.StatusReasonInternalError, fmt.Errorf("encode the patch: %w", err))
	}
	count(request, string(decision.Reason))
	i.log.V(1).Info(msgInjected, "namespace", request.Namespace, "pod", pod.Name+pod.GenerateName, "reason", decision.Reason)
	kind := admissionv1.PatchTypeJSONPatch
	return &admissionv1.AdmissionResponse{Allowed: true, Patch: body, PatchType: &kind, Warnings: slices.Concat(earlier, warnings, conflicts)}
}

func (i *Injector) refuse(request *admissionv1.AdmissionRequest, code int32, reason metav1.StatusReason, err error) *admissionv1.AdmissionResponse {
	count(request, "Refused")
	i.log.Info(msgRefused, "namespace", request.Namespace, "pod", request.Name, "error", err.Error())
	return denied(code, reason, err)
}

// count leaves out dry runs, the control plane's checks of itself among them.
func count(request *admissionv1.AdmissionRequest, outcome string) {
	if request.DryRun == nil || !*request.DryRun {
		reviewed.WithLabelValues(outcome).Inc()
	}
}

func denied(code int32, reason metav1.StatusReason, err error) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{
		Result: &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: "sidecar injection: " + err.Error()},
	}
}

// skipWarnings tells a user who asked for a proxy in so many words why there is none.
func skipWarnings(pod *corev1.Pod, decision Decision) []string {
	if !isOn(pod.Labels[LabelInject]) {
		return nil
	}
	switch decision.Reason {
	case ReasonHostNetwork:
		return []string{"spec.hostNetwork: pods on the host's network get no proxy, although the label " + LabelInject + " asks for one"}
	case ReasonNamespaceOff:
		return []string{"metadata.labels[" + LabelInject + "]: the namespace's label " + LabelNamespace + " switches injection off and is stronger"}
	}
	return nil
}
