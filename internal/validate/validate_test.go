// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	goodRoute = `{"hosts":["a"],"http":[{"route":[{"destination":{"host":"a"}}]}]}`
	badWeight = `{"hosts":["a"],"http":[{"route":[{"destination":{"host":"a"},"weight":-1},{"destination":{"host":"b"},"weight":5}]}]}`
	unserved  = `{"hosts":["a"],"http":[{"route":[{"destination":{"host":"a"}}],"fault":{"abort":{"http2Error":"x","percentage":{"value":1}}}}]}`
)

func request(group, version, kind, spec, old string) *admissionv1.AdmissionRequest {
	text := func(spec string) runtime.RawExtension {
		if spec == "" {
			return runtime.RawExtension{}
		}
		return runtime.RawExtension{Raw: fmt.Appendf(nil, `{"apiVersion":"%s/%s","kind":%q,"metadata":{"name":"x"},"spec":%s}`, group, version, kind, spec)}
	}
	r := &admissionv1.AdmissionRequest{
		UID: "1", Kind: metav1.GroupVersionKind{Group: group, Version: version, Kind: kind},
		Operation: admissionv1.Create, Namespace: "shop", Object: text(spec), OldObject: text(old),
	}
	if old != "" {
		r.Operation = admissionv1.Update
	}
	return r
}

func TestReview(t *testing.T) {
	const networking, security = "networking.istio.io", "security.istio.io"
	for _, c := range []struct {
		name    string
		request *admissionv1.AdmissionRequest
		refusal string // part of the message; empty: allowed
		warning string // part of the first warning; empty: none
	}{
		{"good", request(networking, "v1", "VirtualService", goodRoute, ""), "", ""},
		{"negative weight", request(networking, "v1", "VirtualService", badWeight, ""), "VirtualService shop/x is not valid: spec.http[0].route[0].weight: weight -1", ""},
		{"older version", request(networking, "v1alpha3", "VirtualService", badWeight, ""), "spec.http[0].route[0].weight", ""},
		{"beta version", request(networking, "v1beta1", "VirtualService", badWeight, ""), "spec.http[0].route[0].weight", ""},
		{"not served yet", request(networking, "v1", "VirtualService", unserved, ""), "", "spec.http[0].fault.abort.http2Error: not served yet"},
		{"does not fit the type", request(networking, "v1", "VirtualService", `{"hosts":"a"}`, ""), "spec: cannot be read", ""},
		{"made bad by an update", request(networking, "v1", "VirtualService", badWeight, goodRoute), "weight -1", ""},
		{"bad before and untouched", request(networking, "v1", "VirtualService", badWeight, badWeight), "", "weight -1"},
		{"rule without host", request(networking, "v1", "DestinationRule", `{}`, ""), "spec.host", ""},
		{"gateway without servers", request(networking, "v1", "Gateway", `{}`, ""), "spec.servers", ""},
		{"ports without selector", request(security, "v1", "PeerAuthentication", `{"portLevelMtls":{"80":{"mode":"STRICT"}}}`, ""), "spec.portLevelMtls", ""},
		{"another kind", request(networking, "v1", "Sidecar", `{}`, ""), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := New("cluster.local").Review(t.Context(), c.request)
			if got.Allowed != (c.refusal == "") {
				t.Fatalf("allowed = %v, result %v", got.Allowed, got.Result)
			}
			if c.refusal != "" && !strings.Contains(got.Result.Message, c.refusal) {
				t.Errorf("message %q lacks %q", got.Result.Message, c.refusal)
			}
			if (c.warning != "") != (len(got.Warnings) > 0) {
				t.Fatalf("warnings %q, want %q", got.Warnings, c.warning)
			}
			if c.warning != "" && !strings.Contains(got.Warnings[0], c.warning) {
				t.Errorf("warning %q lacks %q", got.Warnings[0], c.warning)
			}
		})
	}
}

func TestDeletionIsAlwaysAllowed(t *testing.T) {
	r := request("networking.istio.io", "v1", "VirtualService", "", badWeight)
	r.Operation = admissionv1.Delete
	if got := New("cluster.local").Review(t.Context(), r); !got.Allowed {
		t.Errorf("deletion refused: %v", got.Result)
	}
}

func TestManyProblemsStayReadable(t *testing.T) {
	var rules []string
	for range 400 {
		rules = append(rules, `{"route":[{"destination":{"host":"a"}}],"fault":{"abort":{"http2Error":"x","percentage":{"value":1}}},"timeout":"0s"}`)
	}
	spec := `{"hosts":["a"],"http":[` + strings.Join(rules, ",") + `]}`
	got := New("cluster.local").Review(t.Context(), request("networking.istio.io", "v1", "VirtualService", spec, ""))
	if got.Allowed || len(got.Result.Message) > maxMessage || len(got.Warnings) != maxWarnings+1 {
		t.Errorf("allowed %v, message of %d bytes, %d warnings", got.Allowed, len(got.Result.Message), len(got.Warnings))
	}
}
