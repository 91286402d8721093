// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// makeTag makes a MeshRevisionTag that goes with the test, and what it made with it: no garbage is collected here.
func makeTag(t *testing.T, name, revision string) *v1alpha1.MeshRevisionTag {
	t.Helper()
	ctx := context.Background()
	out := &v1alpha1.MeshRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MeshRevisionTagSpec{Revision: revision}}
	if err := world.admin.Create(ctx, out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = world.admin.Delete(ctx, out)
		for _, of := range []client.Object{&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{}} {
			_ = world.admin.DeleteAllOf(ctx, of, client.MatchingLabels{v1alpha1.LabelRevision: "tag." + name})
		}
	})
	return out
}

// awaitTag waits for a condition of a tag.
func awaitTag(t *testing.T, tag *v1alpha1.MeshRevisionTag, conditionType string, want metav1.ConditionStatus, text string) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		if err := world.admin.Get(context.Background(), client.ObjectKeyFromObject(tag), tag); err != nil {
			return err
		}
		c := meta.FindStatusCondition(tag.Status.Conditions, conditionType)
		if c == nil || c.Status != want || c.ObservedGeneration != tag.Generation || !strings.Contains(c.Reason+": "+c.Message, text) {
			return fmt.Errorf("want %s=%s with %q, have %+v", conditionType, want, text, tag.Status)
		}
		return nil
	})
}

// injectorOf waits until all webhooks of a name's injector ask one Service at one path.
func injectorOf(t *testing.T, name, service, path string) *admissionregistrationv1.MutatingWebhookConfiguration {
	t.Helper()
	out := &admissionregistrationv1.MutatingWebhookConfiguration{}
	eventually(t, 30*time.Second, func() error {
		if err := world.admin.Get(context.Background(), types.NamespacedName{Name: name}, out); err != nil {
			return err
		}
		for _, h := range out.Webhooks {
			if s := h.ClientConfig.Service; s.Name != service || *s.Path != path {
				return fmt.Errorf("webhook %s asks %s at %s, want %s at %s", h.Name, s.Name, *s.Path, service, path)
			}
		}
		return nil
	})
	return out
}

// TestTag: namespaces say a name of their own for a revision, and it follows where the revision's name leads.
func TestTag(t *testing.T) {
	ctx := context.Background()
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	early := makeTag(t, "prod", "stable")
	awaitTag(t, early, v1alpha1.ConditionReady, metav1.ConditionFalse, "ControlPlaneNotReady: spec.revision: there is no MeshRevision stable")
	m := mesh(t, "tagged", v1alpha1.MeshOperatorSpec{Profile: "minimal", Revision: "stable", Namespace: "mesh-tagged"})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	awaitTag(t, early, v1alpha1.ConditionReady, metav1.ConditionTrue, "revision stable answers")
	if early.Status.Revision != "stable" || meta.FindStatusCondition(early.Status.Conditions, v1alpha1.ConditionReconciling) != nil {
		t.Errorf("status is %+v", early.Status)
	}

	var roots corev1.ConfigMap
	if err := world.admin.Get(ctx, types.NamespacedName{Namespace: "mesh-tagged", Name: "meshwright-ca-root-cert"}, &roots); err != nil {
		t.Fatal(err)
	}
	config := injectorOf(t, "meshwright-injector-prod", "meshwright-stable", "/inject/as/prod")
	if o := config.OwnerReferences; len(o) != 1 || o[0].Kind != "MeshRevision" || o[0].Name != "stable" {
		t.Errorf("it does not go with the revision: %+v", o)
	}
	for _, h := range config.Webhooks {
		if string(h.ClientConfig.CABundle) != roots.Data["root-cert.pem"] {
			t.Errorf("webhook %s is not trusted", h.Name)
		}
		says := func(s *metav1.LabelSelector) bool {
			return slices.ContainsFunc(s.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
				return r.Key == "istio.io/rev" && slices.Equal(r.Values, []string{"prod"})
			})
		}
		if !strings.HasPrefix(h.Name, "self-check.") && !says(h.NamespaceSelector) && !says(h.ObjectSelector) {
			t.Errorf("webhook %s is not about the tag", h.Name)
		}
	}
	var validator admissionregistrationv1.ValidatingWebhookConfiguration
	if err := world.admin.Get(ctx, types.NamespacedName{Name: "meshwright-validator-prod"}, &validator); err != nil {
		t.Fatal(err)
	}
	if v := validator.Webhooks[0]; v.ClientConfig.Service.Name != "meshwright-stable" || len(v.MatchConditions) > 0 {
		t.Errorf("the validator is %+v", v)
	}

	// Drift is put back.
	config.Webhooks[0].ClientConfig.Service.Name = "thief"
	if err := world.admin.Update(ctx, config, client.FieldOwner("thief")); err != nil {
		t.Fatal(err)
	}
	config = injectorOf(t, "meshwright-injector-prod", "meshwright-stable", "/inject/as/prod")
	if err := world.admin.Delete(ctx, config); err != nil {
		t.Fatal(err)
	}
	gone := config.UID
	eventually(t, 30*time.Second, func() error {
		if config = injectorOf(t, "meshwright-injector-prod", "meshwright-stable", "/inject/as/prod"); config.UID == gone {
			return fmt.Errorf("the old one is there")
		}
		return nil
	})

	// Where the revision's name leads, the tag goes.
	if err := world.admin.Patch(ctx, m, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationPaused+`":"true"}}}`))); err != nil {
		t.Fatal(err)
	}
	setValues(t, "stable", `{"revision":"stable","webhooks":{"answeredBy":"stable-1","move":{"revision":"stable-2","upTo":"00000000000000ff"}}}`)
	injectorOf(t, "meshwright-injector-prod", "meshwright-stable-1", "/inject/as/prod/split/stable-2/00000000000000ff")
	awaitTag(t, early, v1alpha1.ConditionReady, metav1.ConditionTrue, "revision stable-1 answers")
	if err := world.admin.Delete(ctx, early); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		if exists(t, &admissionregistrationv1.MutatingWebhookConfiguration{}, "", "meshwright-injector-prod") {
			return fmt.Errorf("the tag is gone, and its webhooks are not")
		}
		return nil
	})
	makeTag(t, "prod", "stable")
	injectorOf(t, "meshwright-injector-prod", "meshwright-stable-1", "/inject/as/prod/split/stable-2/00000000000000ff")
	setValues(t, "stable", `{"revision":"stable","webhooks":{"enabled":false}}`)
	eventually(t, 30*time.Second, func() error {
		if exists(t, &admissionregistrationv1.MutatingWebhookConfiguration{}, "", "meshwright-injector-prod") {
			return fmt.Errorf("the tag has webhooks although its revision has none")
		}
		return nil
	})
}

// setValues changes the values of the control plane of a MeshRevision whose MeshOperator is paused.
func setValues(t *testing.T, name, values string) {
	t.Helper()
	revision := &v1alpha1.MeshRevision{}
	eventually(t, 10*time.Second, func() error {
		if err := world.admin.Get(context.Background(), types.NamespacedName{Name: name}, revision); err != nil {
			return err
		}
		at := slices.IndexFunc(revision.Spec.Components, func(c v1alpha1.Component) bool { return c.Chart == v1alpha1.ChartControlPlane })
		revision.Spec.Components[at].Values.Raw = []byte(values)
		return world.admin.Update(context.Background(), revision)
	})
}

// TestTagConflicts: a name has one owner.
func TestTagConflicts(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	m := mesh(t, "named", v1alpha1.MeshOperatorSpec{Profile: "minimal", Revision: "blue", Namespace: "mesh-named"})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	awaitTag(t, makeTag(t, "blue", "blue"), v1alpha1.ConditionStalled, metav1.ConditionTrue, "RevisionConflict: there is a MeshRevision blue")
	awaitTag(t, makeTag(t, "none", "nobody"), v1alpha1.ConditionReady, metav1.ConditionFalse, "there is no MeshRevision nobody")

	// The tag default also serves istio-injection=enabled, and what says no revision.
	standard := makeTag(t, "default", "blue")
	awaitTag(t, standard, v1alpha1.ConditionReady, metav1.ConditionTrue, "revision blue answers")
	config := injectorOf(t, "meshwright-injector", "meshwright-blue", "/inject/as/default")
	if !slices.ContainsFunc(config.Webhooks, func(h admissionregistrationv1.MutatingWebhook) bool {
		return h.Name == "namespace.injector.meshwright.dev"
	}) {
		t.Errorf("nothing serves istio-injection=enabled")
	}
	second := mesh(t, "second", v1alpha1.MeshOperatorSpec{Profile: "minimal", Namespace: "mesh-second"})
	await(t, second, v1alpha1.ConditionStalled, metav1.ConditionTrue, "MeshRevisionTag default")
	awaitTag(t, standard, v1alpha1.ConditionStalled, metav1.ConditionTrue, "RevisionConflict: there is a MeshRevision default")

	for name, want := range map[string]string{"a.b": "istio.io/rev", strings.Repeat("a", 41): "istio.io/rev"} {
		bad := &v1alpha1.MeshRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MeshRevisionTagSpec{Revision: "blue"}}
		if err := world.admin.Create(context.Background(), bad, client.DryRunAll); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("tag %s: %v", name, err)
		}
	}
}
