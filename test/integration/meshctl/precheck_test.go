// SPDX-License-Identifier: Apache-2.0

//go:build integration

package meshctl

import (
	"encoding/json"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/cli/precheck"
)

// found runs precheck and returns what it found.
func found(t *testing.T, code int, args ...string) []precheck.Finding {
	t.Helper()
	r := meshctl(t, "", append([]string{"precheck", "-o", "json"}, args...)...)
	if r.code != code {
		t.Fatalf("want code %d, got %s", code, r)
	}
	var out struct {
		Checks   []string           `json:"checks"`
		Findings []precheck.Finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(r.out), &out); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	if len(out.Checks) < 10 {
		t.Errorf("only %v were checked", out.Checks)
	}
	return out.Findings
}

// wants wants one finding of a check about an object, with a text.
func wants(t *testing.T, findings []precheck.Finding, level precheck.Level, check, object, text string) {
	t.Helper()
	for _, f := range findings {
		if f.Level == level && f.Check == check && strings.Contains(f.Object, object) && strings.Contains(f.Problem, text) && f.Remedy != "" {
			return
		}
	}
	t.Errorf("no %s of check %s about %q with %q in %+v", level, check, object, text, findings)
}

func TestPrecheckFindsNothing(t *testing.T) {
	if findings := found(t, 0, "--profile", "minimal"); len(findings) > 0 {
		t.Errorf("found %+v", findings)
	}
	r := meshctl(t, "", "precheck", "--profile", "minimal")
	if r.code != 0 || !strings.HasPrefix(r.out, "nothing was found by ") {
		t.Error(r)
	}
}

// TestPrecheckNamesTrouble seeds what an installation would stumble over.
func TestPrecheckNamesTrouble(t *testing.T) {
	old := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "virtualservices.networking.istio.io", Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "networking.istio.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "virtualservices", Singular: "virtualservice", Kind: "VirtualService", ListKind: "VirtualServiceList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha3", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"}},
			}},
		},
	}
	create(t, old)
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system"}})
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "forgotten", Labels: map[string]string{"istio.io/rev": "1-20"}}})
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "meshwright"}})
	create(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
		KubeletVersion: "v1.27.3", KernelVersion: "3.10.0-1160", OperatingSystem: "linux", Architecture: "amd64",
	}}})
	labels := map[string]string{"app": "istiod"}
	create(t, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istiod", Labels: labels},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "discovery", Image: "pilot"}}},
		}},
	})
	none := admissionregistrationv1.SideEffectClassNone
	address := "https://istiod.example.org/inject"
	create(t, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "namespace.sidecar-injector.istio.io", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionregistrationv1.WebhookClientConfig{URL: &address},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"istio-injection": "enabled"}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	})
	// A namespace that something holds while it is being deleted.
	held := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "held"}}
	create(t, held)
	if err := world.admin.Delete(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	findings := found(t, 3, "--profile", "demo", "--set", "gateways.ingress[0].name=edge,gateways.ingress[0].namespace=held")
	wants(t, findings, precheck.Error, "definitions", "virtualservices.networking.istio.io", "belongs to Helm and does not serve version v1")
	wants(t, findings, precheck.Error, "objects", "ConfigMap istio-system/meshwright", "somebody else")
	wants(t, findings, precheck.Error, "nodes", "old", "kubelet v1.27.3")
	wants(t, findings, precheck.Warning, "nodes", "old", "kernel 3.10.0")
	wants(t, findings, precheck.Warning, "istiod", "istio-system/istiod", "Istio runs here")
	wants(t, findings, precheck.Error, "injectors", "istio-sidecar-injector", "two proxies")
	wants(t, findings, precheck.Warning, "injectors", "forgotten", "istio.io/rev=1-20")
	wants(t, findings, precheck.Error, "namespaces", "held", "being deleted")
	wants(t, findings, precheck.Info, "loadbalancer", "held/edge", "load balancer")
	for i := 1; i < len(findings); i++ {
		if findings[i].Level == precheck.Error && findings[i-1].Level != precheck.Error {
			t.Errorf("an error stands behind a %s", findings[i-1].Level)
		}
	}
	// Another name has no rival, and an object handed over is no trouble.
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "meshwright"}}
	if err := world.admin.Patch(t.Context(), config, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"operator.meshwright.dev/adopt":"true"}}}`))); err != nil {
		t.Fatal(err)
	}
	for _, f := range found(t, 3, "--profile", "minimal") {
		if f.Check == "objects" || f.Check == "namespaces" {
			t.Errorf("found %+v", f)
		}
	}
	for _, f := range found(t, 3, "--profile", "minimal", "--revision", "blue") {
		if f.Level == precheck.Error && f.Check == "injectors" {
			t.Errorf("found %+v", f)
		}
	}
}

// TestPrecheckAccess: whoever lacks a right is told which, and that he cannot
// grant what he lacks; an administrator lacks none.
func TestPrecheckAccess(t *testing.T) {
	findings := found(t, 3, "--profile", "minimal", "--as", "nobody")
	wants(t, findings, precheck.Error, "access", "caller", "may not ")
	wants(t, findings, precheck.Error, "access", "caller", "nobody may grant more than he has")
	wants(t, findings, precheck.Warning, "nodes", "check nodes", "cannot be made")

	// All that the operator's objects need, and the right to grant everything.
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "installer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"", "apps", "apiextensions.k8s.io", "rbac.authorization.k8s.io", "operator.meshwright.dev"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "create", "patch"}},
		{APIGroups: []string{"rbac.authorization.k8s.io"}, Resources: []string{"clusterroles"}, Verbs: []string{"escalate", "bind"}},
	}})
	create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "installer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "installer"},
		Subjects:   []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "installer"}},
	})
	for _, f := range found(t, 0, "--profile", "minimal", "--as", "installer") {
		if f.Check == "access" {
			t.Errorf("found %+v", f)
		}
	}
}
