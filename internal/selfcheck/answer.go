// SPDX-License-Identifier: Apache-2.0

// Package selfcheck lets the operator see that webhooks answer: it asks the API server, as a dry run, to create a
// ConfigMap that only the webhooks of one revision look at. Nothing is ever stored.
package selfcheck

import (
	"encoding/json"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Label is on the ConfigMap; its value is the revision whose webhooks are asked.
	Label = "meshwright.dev/self-check"
	// Annotation is what the injector adds to it.
	Annotation = "meshwright.dev/self-check-answer"

	// What the validator refuses it with.
	bothAnswer    = "self-check: the injector and the validator answer"
	injectorQuiet = "self-check: the validator answers; the injector did not see the object"
)

// configMaps is the only resource of a self-check.
var configMaps = metav1.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// Inject answers a self-check for the injector: it allows the object and adds the annotation. It returns nil for
// every other request.
func Inject(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	asked, ok := read(request)
	if !ok {
		return nil
	}
	annotations := map[string]string{Annotation: "injector"}
	for k, v := range asked.Annotations {
		if k != Annotation {
			annotations[k] = v
		}
	}
	patch, err := json.Marshal([]map[string]any{{"op": "add", "path": "/metadata/annotations", "value": annotations}})
	if err != nil {
		return nil
	}
	kind := admissionv1.PatchTypeJSONPatch
	return &admissionv1.AdmissionResponse{Allowed: true, Patch: patch, PatchType: &kind}
}

// Validate answers a self-check for the validator: it refuses the object, and says whether the injector saw it. It
// returns nil for every other request.
func Validate(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	asked, ok := read(request)
	if !ok {
		return nil
	}
	message := bothAnswer
	if asked.Annotations[Annotation] == "" {
		message = injectorQuiet
	}
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message,
	}}
}

func read(request *admissionv1.AdmissionRequest) (metav1.ObjectMeta, bool) {
	if request.Resource != configMaps || request.SubResource != "" || request.Operation != admissionv1.Create {
		return metav1.ObjectMeta{}, false
	}
	var object struct {
		metav1.ObjectMeta `json:"metadata"`
	}
	if json.Unmarshal(request.Object.Raw, &object) != nil || object.Labels[Label] == "" {
		return metav1.ObjectMeta{}, false
	}
	return object.ObjectMeta, true
}
