// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// TestSchemaRefuses: what the schema and its rules refuse, with the field's path.
func TestSchemaRefuses(t *testing.T) {
	for name, c := range map[string]struct{ spec, want string }{
		"replicas and autoscaling": {`{components: {controlPlane: {replicas: 1, autoscaling: {max: 2}}}}`, "spec.components.controlPlane.replicas"},
		"gateway with both":        {`{gateways: {ingress: [{name: a, replicas: 1, autoscaling: {max: 2}}]}}`, "spec.gateways.ingress[0].replicas"},
		"min over max":             {`{components: {controlPlane: {autoscaling: {min: 3, max: 2}}}}`, "spec.components.controlPlane.autoscaling.min"},
		"same gateway twice":       {`{gateways: {ingress: [{name: a}, {name: a}]}}`, "spec.gateways.ingress[1]"},
		"ingress and egress":       {`{gateways: {ingress: [{name: a}], egress: [{name: a}]}}`, "spec.gateways.egress"},
		"outbound mode":            {`{meshConfig: {outboundTrafficPolicy: {mode: SOMETIMES}}}`, "spec.meshConfig.outboundTrafficPolicy.mode"},
		"access log":               {`{meshConfig: {accessLogFile: /tmp/x}}`, "spec.meshConfig.accessLogFile"},
		"pull policy":              {`{image: {pullPolicy: Sometimes}}`, "spec.image.pullPolicy"},
		"revision name":            {`{revision: Canary}`, "spec.revision"},
		"system namespace":         {`{namespace: kube-system}`, "spec.namespace"},
		"overlay with both":        {`{overlays: [{kind: A, name: b, patch: {}, jsonPatch: [{op: remove, path: /a}]}]}`, "spec.overlays[0]"},
		"overlay with none":        {`{overlays: [{kind: A, name: b}]}`, "spec.overlays[0]"},
		"ingress and east-west":    {`{gateways: {ingress: [{name: a}], eastWest: [{name: a}]}}`, "spec.gateways.eastWest"},
		"budget with both":         {`{components: {controlPlane: {podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}}}}`, "spec.components.controlPlane.podDisruptionBudget"},
		"normalization":            {`{meshConfig: {pathNormalization: {normalization: ALL}}}`, "spec.meshConfig.pathNormalization.normalization"},
		"trusted proxies":          {`{meshConfig: {defaultConfig: {gatewayTopology: {numTrustedProxies: 65}}}}`, "spec.meshConfig.defaultConfig.gatewayTopology.numTrustedProxies"},
		"share of a place":         {`{meshConfig: {localityLbSetting: {distribute: [{from: "*", to: {"west/*": 101}}]}}}`, "spec.meshConfig.localityLbSetting.distribute[0].to.west/*"},
		"steps without canary":     {`{upgradeStrategy: {type: InPlace, canary: {}}}`, "spec.upgradeStrategy.canary"},
		"step of nothing":          {`{upgradeStrategy: {type: Canary, canary: {steps: [{soakSeconds: 1}]}}}`, "spec.upgradeStrategy.canary.steps[0]"},
		"none at a time":           {`{upgradeStrategy: {type: Canary, canary: {maxUnavailable: 0}}}`, "spec.upgradeStrategy.canary.maxUnavailable"},
		"no percentage":            {`{upgradeStrategy: {type: Canary, canary: {maxUnavailable: 0%}}}`, "spec.upgradeStrategy.canary.maxUnavailable"},
		"query without bounds":     {`{upgradeStrategy: {type: Canary, canary: {analysis: {prometheus: {address: "http://p", queries: [{name: a, query: up}]}}}}}`, "spec.upgradeStrategy.canary.analysis.prometheus.queries[0]"},
		"short digest":             {`{image: {digests: {proxy: "sha256:00"}}}`, "spec.image.digests.proxy"},
		"privileged target port":   {`{gateways: {ingress: [{name: a, service: {ports: [{name: x, port: 80, targetPort: 80}]}}]}}`, "spec.gateways.ingress[0].service.ports[0].targetPort"},
	} {
		t.Run(name, func(t *testing.T) {
			err := world.admin.Create(context.Background(), raw(t, "refused", c.spec), client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error at %s", err, c.want)
			}
		})
	}
}

// TestUnknownMeshConfig: a field of meshConfig that nobody serves is refused with
// its path where kubectl apply (strict) and tools for GitOps (server-side apply)
// send it; who asks for neither is warned.
func TestUnknownMeshConfig(t *testing.T) {
	ctx := context.Background()
	const dotted = "spec.meshConfig.defaultConfig.tracing"
	wrong := func() *unstructured.Unstructured {
		object := raw(t, "unknown", `{profile: empty, meshConfig: {defaultConfig: {tracing: {sampling: 1}}}}`)
		object.SetAPIVersion(v1alpha1.GroupVersion.String())
		return object
	}
	err := client.WithFieldValidation(world.admin, metav1.FieldValidationStrict).Create(ctx, wrong(), client.DryRunAll)
	if err == nil || !strings.Contains(err.Error(), `unknown field "`+dotted+`"`) {
		t.Errorf("strict: got %v, want an error at %s", err, dotted)
	}
	err = world.admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(wrong()), client.FieldOwner("gitops"), client.DryRunAll)
	if err == nil || !strings.Contains(err.Error(), "."+dotted+": field not declared in schema") {
		t.Errorf("server-side apply: got %v, want an error at %s", err, dotted)
	}
	heard := &warnings{}
	config := rest.CopyConfig(world.server.Config)
	config.WarningHandler = heard
	lenient, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := lenient.Create(ctx, wrong(), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(heard.texts, func(text string) bool { return strings.Contains(text, dotted) }) {
		t.Errorf("warnings are %q, want one at %s", heard.texts, dotted)
	}
}

// warnings are those of the API server.
type warnings struct{ texts []string }

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.texts = append(w.texts, text) }

func raw(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
		t.Fatal(err)
	}
	object.Object["spec"] = content
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MeshOperator"))
	object.SetName(name)
	return object
}

func TestImmutableFields(t *testing.T) {
	ctx := context.Background()
	m := &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "immutable"}, Spec: v1alpha1.MeshOperatorSpec{Profile: "empty"}}
	if err := world.admin.Create(ctx, m); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = world.admin.Delete(ctx, m) }()
	for patch, want := range map[string]string{
		`{"spec":{"revision":"canary"}}`:        "spec.revision",
		`{"spec":{"namespace":"elsewhere"}}`:    "spec.namespace",
		`{"spec":{"revision":"default"}}`:       "",
		`{"spec":{"namespace":"istio-system"}}`: "",
	} {
		err := world.admin.Patch(ctx, m, client.RawPatch(types.MergePatchType, []byte(patch)))
		if want == "" && err != nil {
			t.Errorf("%s: %v, though it names the default", patch, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want an error at %s", patch, err, want)
		}
	}
}

// TestStalls: what the schema cannot know ends in Stalled with the remedy.
func TestStalls(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	for name, c := range map[string]struct{ spec, want string }{
		"profile":       {`{profile: huge}`, `UnknownProfile: spec.profile: unknown profile "huge"; known profiles are default, demo, empty, minimal, openshift, preview, production`},
		"version":       {`{profile: minimal, version: v9.0.0}`, `UnknownVersion: spec.version: unknown version "v9.0.0"; this operator installs v0.1.0`},
		"values":        {`{profile: minimal, values: {controlplane: {replicaz: 3}}}`, "InvalidValues: component controlplane: values of chart controlplane"},
		"overlay":       {`{profile: minimal, overlays: [{kind: Deployment, name: nobody, patch: {}}]}`, "InvalidOverlay: spec.overlays[0]: no object Deployment nobody"},
		"overlay json":  {`{profile: minimal, overlays: [{kind: Deployment, name: meshwright, jsonPatch: [{op: replace, path: /spec/nothing, value: 1}]}]}`, "InvalidOverlay: spec.overlays[0]: json patch"},
		"overlay field": {`{profile: minimal, overlays: [{kind: Deployment, name: meshwright, jsonPatch: [{op: add, path: /spec/nothing, value: 1}]}]}`, "field not declared in schema"},
		"overlay typed": {`{profile: minimal, overlays: [{kind: Deployment, name: meshwright, patch: {spec: {template: {spec: {containers: [{name: controlplane, image: ""}]}}}}}]}`, "Rejected: apply Deployment"},
	} {
		t.Run(name, func(t *testing.T) {
			object := raw(t, "stall-"+strings.ReplaceAll(name, " ", "-"), c.spec)
			if err := world.admin.Create(context.Background(), object); err != nil {
				t.Fatal(err)
			}
			m := &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: object.GetName()}}
			await(t, m, v1alpha1.ConditionStalled, metav1.ConditionTrue, c.want)
			await(t, m, v1alpha1.ConditionReady, metav1.ConditionFalse, c.want)
			if err := world.admin.Delete(context.Background(), m); err != nil {
				t.Fatal(err)
			}
			removed(t, m)
		})
	}
}

// TestStallEnds: a corrected spec installs.
func TestStallEnds(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	m := mesh(t, "stall-ends", v1alpha1.MeshOperatorSpec{Profile: "nothing", Namespace: "mesh-stall"})
	await(t, m, v1alpha1.ConditionStalled, metav1.ConditionTrue, "UnknownProfile")
	m.Spec.Profile = "minimal"
	if err := world.admin.Update(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "the control plane is ready")
	for _, c := range m.Status.Conditions {
		if c.Type == v1alpha1.ConditionStalled {
			t.Errorf("still stalled: %+v", c)
		}
	}
}

// TestForeignObjects: what somebody else made is not taken over, unless he says so.
func TestForeignObjects(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	ctx := context.Background()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh-foreign"}}
	if err := world.admin.Create(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "mesh-foreign", Name: "istio-ingressgateway"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
	if err := world.admin.Create(ctx, service); err != nil {
		t.Fatal(err)
	}
	start(t)
	m := mesh(t, "foreign", v1alpha1.MeshOperatorSpec{Profile: "demo", Namespace: "mesh-foreign"})
	await(t, m, v1alpha1.ConditionStalled, metav1.ConditionTrue, "ObjectConflict: Service mesh-foreign/istio-ingressgateway exists already and belongs to somebody else")

	// A second mesh with the same revision.
	second := mesh(t, "foreign-second", v1alpha1.MeshOperatorSpec{Profile: "empty", Namespace: "mesh-foreign"})
	await(t, second, v1alpha1.ConditionStalled, metav1.ConditionTrue, "RevisionConflict: MeshRevision default exists and belongs to MeshOperator foreign")

	patch := []byte(`{"metadata":{"annotations":{"` + v1alpha1.AnnotationAdopt + `":"true"}}}`)
	if err := world.admin.Patch(ctx, service, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	if err := world.admin.Patch(ctx, m, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"topology":{"network":"n"}}}`))); err != nil {
		t.Fatal(err)
	}
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "2 gateways")

	// The namespace was there before, so it stays.
	if err := world.admin.Delete(ctx, m); err != nil {
		t.Fatal(err)
	}
	removed(t, m)
	if !exists(t, &corev1.Namespace{}, "", "mesh-foreign") {
		t.Error("a namespace that was not ours is gone")
	}
}

// TestNamespaceWithUsersObjects: a namespace that the operator created stays
// when a user has put something into it.
func TestNamespaceWithUsersObjects(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	ctx := context.Background()
	m := mesh(t, "users", v1alpha1.MeshOperatorSpec{Profile: "minimal", Namespace: "mesh-users"})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	if err := world.admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh-users", Name: "certificate"}}); err != nil {
		t.Fatal(err)
	}
	if err := world.admin.Delete(ctx, m); err != nil {
		t.Fatal(err)
	}
	removed(t, m)
	if !exists(t, &corev1.Secret{}, "mesh-users", "certificate") {
		t.Error("the user's Secret is gone")
	}
	if exists(t, &corev1.Secret{}, "mesh-users", "meshwright-ca") {
		t.Error("the CA stays behind")
	}
}

// TestForeignDefinition: a CRD that somebody else looks after is left alone.
func TestForeignDefinition(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	ctx := context.Background()
	name := "telemetries.telemetry.istio.io"
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_ = world.admin.Delete(ctx, crd)
	eventually(t, 10*time.Second, func() error {
		if exists(t, &apiextensionsv1.CustomResourceDefinition{}, "", name) {
			return fmt.Errorf("%s is still there", name)
		}
		return nil
	})
	data, err := os.ReadFile("../../../charts/base/files/crds/telemetry.istio.io_telemetries.yaml")
	if err != nil {
		t.Fatal(err)
	}
	theirs := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(data, theirs); err != nil {
		t.Fatal(err)
	}
	theirs.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm"}
	if err := world.admin.Create(ctx, theirs); err != nil {
		t.Fatal(err)
	}
	start(t)
	m := mesh(t, "definition", v1alpha1.MeshOperatorSpec{Profile: "minimal", Namespace: "mesh-definition"})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	got := &apiextensionsv1.CustomResourceDefinition{}
	if !exists(t, got, "", name) || got.Labels["app.kubernetes.io/managed-by"] != "Helm" {
		t.Errorf("labels are %v", got.Labels)
	}
	for _, entry := range got.ManagedFields {
		if entry.Manager == "meshwright-operator" {
			t.Error("the operator wrote a definition that is not its own")
		}
	}
}
