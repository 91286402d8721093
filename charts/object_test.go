// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/meshrevision"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/notebook"
)

// ofCluster are the rendered kinds that have no namespace.
var ofCluster = []string{
	"ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}

// TestObjectsAreStrict reads every object into its Go type; a field that the
// type does not have is a mistake in a template.
func TestObjectsAreStrict(t *testing.T) {
	for name, objects := range renderings(t) {
		for _, object := range objects {
			typed, err := scheme.Scheme.New(object.GroupVersionKind())
			if err != nil {
				t.Errorf("%s: %s: %v", name, describe(object), err)
				continue
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true); err != nil {
				t.Errorf("%s: %s: %v", name, describe(object), err)
			}
			if want := !slices.Contains(ofCluster, object.GetKind()); want != (object.GetNamespace() != "") {
				t.Errorf("%s: %s: has namespace %q", name, describe(object), object.GetNamespace())
			}
			labels := object.GetLabels()
			for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "app.kubernetes.io/component"} {
				if labels[key] == "" {
					t.Errorf("%s: %s: has no label %s", name, describe(object), key)
				}
			}
		}
	}
}

// TestOwnedKinds holds the watches against what the charts render.
func TestOwnedKinds(t *testing.T) {
	var rendered []schema.GroupVersionKind
	for name, objects := range renderings(t) {
		if name == "operator" {
			continue
		}
		for _, object := range objects {
			if !slices.Contains(rendered, object.GroupVersionKind()) {
				rendered = append(rendered, object.GroupVersionKind())
			}
		}
	}
	for _, kind := range rendered {
		if !slices.Contains(meshrevision.Owned, kind) {
			t.Errorf("%v is rendered and not watched", kind)
		}
	}
	for _, kind := range meshrevision.Owned {
		if !slices.Contains(rendered, kind) {
			t.Errorf("%v is watched and not rendered", kind)
		}
	}
}

// TestPodsAreRestricted checks the fields of the restricted Pod Security
// Standard (https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted).
func TestPodsAreRestricted(t *testing.T) {
	checked := 0
	for name, objects := range renderings(t) {
		for _, object := range objects {
			spec, ok := podSpec(t, object)
			if !ok {
				continue
			}
			if object.GetKind() == "DaemonSet" {
				continue // See TestRightsOnNodes.
			}
			checked++
			where := name + ": " + describe(object)
			s := spec.SecurityContext
			if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: pod security context is %+v", where, s)
			}
			if spec.HostNetwork || spec.HostPID || spec.HostIPC {
				t.Errorf("%s: uses the host's namespaces", where)
			}
			for _, c := range spec.Containers {
				restricted(t, where, c)
			}
			for _, v := range spec.Volumes {
				if v.HostPath != nil {
					t.Errorf("%s: volume %s is of the host", where, v.Name)
				}
			}
			if len(spec.TopologySpreadConstraints) == 0 && name != "operator" {
				t.Errorf("%s: replicas are not spread", where)
			}
		}
	}
	if checked == 0 {
		t.Fatal("no pod was checked")
	}
}

func restricted(t *testing.T, where string, c corev1.Container) {
	t.Helper()
	s := c.SecurityContext
	if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
		s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || len(s.Capabilities.Add) > 0 {
		t.Errorf("%s: container %s: security context is %+v", where, c.Name, s)
	}
	if c.ReadinessProbe == nil {
		t.Errorf("%s: container %s has no readiness probe", where, c.Name)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() {
		t.Errorf("%s: container %s requests no CPU or memory", where, c.Name)
	}
}

func podSpec(t *testing.T, object *unstructured.Unstructured) (corev1.PodSpec, bool) {
	t.Helper()
	var spec corev1.PodSpec
	inner, ok, err := unstructured.NestedMap(object.Object, "spec", "template", "spec")
	if err != nil || !ok {
		return spec, false
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(inner, &spec); err != nil {
		t.Fatal(err)
	}
	return spec, true
}

// TestRules: nobody has a wildcard, and the operator has every right that it
// grants; the API server would refuse the role otherwise.
func TestRules(t *testing.T) {
	var granted, held []rbacv1.PolicyRule
	for name, objects := range renderings(t) {
		for _, object := range objects {
			if !slices.Contains([]string{"ClusterRole", "Role"}, object.GetKind()) {
				continue
			}
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				if text := strings.Join(slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups, rule.NonResourceURLs), " "); strings.Contains(text, "*") {
					t.Errorf("%s: %s has a wildcard: %s", name, describe(object), text)
				}
			}
			switch {
			case name != "operator":
				granted = append(granted, role.Rules...)
			case object.GetName() == "meshwright-operator" && object.GetKind() == "ClusterRole":
				held = append(held, role.Rules...)
			}
		}
	}
	if len(granted) == 0 || len(held) == 0 {
		t.Fatalf("%d rules granted, %d held", len(granted), len(held))
	}
	for _, rule := range granted {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					if !holds(held, group, resource, verb) {
						t.Errorf("the operator grants %s on %s.%s and does not hold it", verb, resource, group)
					}
				}
			}
		}
	}
	for _, kind := range meshrevision.Owned {
		resource := strings.ToLower(kind.Kind) + "s"
		for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
			if !holds(held, kind.Group, resource, verb) {
				t.Errorf("the operator may not %s %s.%s", verb, resource, kind.Group)
			}
		}
	}
}

// TestPagesOfTheNotebook: there is a ConfigMap for each page, and the right to it.
func TestPagesOfTheNotebook(t *testing.T) {
	const prefix = "meshwright-lessons-"
	var made, allowed []string
	for _, object := range renderings(t)["profile-default"] {
		switch {
		case object.GetKind() == "ConfigMap" && strings.HasPrefix(object.GetName(), prefix):
			made = append(made, object.GetName())
		case object.GetKind() == "Role":
			var role rbacv1.Role
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				allowed = append(allowed, slices.DeleteFunc(rule.ResourceNames, func(name string) bool { return !strings.HasPrefix(name, prefix) })...)
			}
		}
	}
	var want []string
	for i := range notebook.Pages {
		want = append(want, prefix+strconv.Itoa(i))
	}
	for what, names := range map[string][]string{"made": made, "allowed": allowed} {
		if slices.Sort(names); !slices.Equal(names, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s are %v, want %v", what, names, want)
		}
	}
}

func holds(rules []rbacv1.PolicyRule, group, resource, verb string) bool {
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		return len(rule.ResourceNames) == 0 && slices.Contains(rule.APIGroups, group) &&
			slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, verb)
	})
}

// TestCABundleBelongsToTheControlPlane: what is not rendered is never fought over.
func TestCABundleBelongsToTheControlPlane(t *testing.T) {
	seen := 0
	for name, objects := range renderings(t) {
		if webhooksOf[name] != nil {
			continue // their values may give one
		}
		for _, object := range objects {
			hooks, _, err := unstructured.NestedSlice(object.Object, "webhooks")
			if err != nil {
				t.Fatal(err)
			}
			for _, hook := range hooks {
				seen++
				if _, found, _ := unstructured.NestedString(hook.(map[string]any), "clientConfig", "caBundle"); found {
					t.Errorf("%s: %s renders a CA bundle", name, describe(object))
				}
			}
		}
	}
	if seen == 0 {
		t.Fatal("no webhook was seen")
	}
}

// TestReplicasBelongToTheAutoscaler: with an autoscaler the Deployment has no replicas.
func TestReplicasBelongToTheAutoscaler(t *testing.T) {
	scaled := 0
	for name, objects := range renderings(t) {
		targets := map[string]bool{}
		for _, object := range objects {
			if object.GetKind() == "HorizontalPodAutoscaler" {
				targets[object.GetNamespace()+"/"+object.GetName()] = true
			}
		}
		for _, object := range objects {
			if object.GetKind() != "Deployment" {
				continue
			}
			_, has, _ := unstructured.NestedInt64(object.Object, "spec", "replicas")
			wants := !targets[object.GetNamespace()+"/"+object.GetName()]
			if has != wants {
				t.Errorf("%s: %s has replicas: %v, want %v", name, describe(object), has, wants)
			}
			if !wants {
				scaled++
			}
		}
	}
	if scaled == 0 {
		t.Fatal("nothing is scaled")
	}
}

// TestTenantKinds: every kind of the mesh's APIs makes a namespace somebody's,
// and the operator may look for all of them.
func TestTenantKinds(t *testing.T) {
	definitions, err := load(t).Render(helm.Release{Chart: "base", Name: "base", Namespace: "mesh"}, kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	if len(definitions) == 0 {
		t.Fatal("the chart base renders no definition")
	}
	var held []rbacv1.PolicyRule
	for _, object := range renderings(t)["operator"] {
		if object.GetKind() == "ClusterRole" && object.GetName() == "meshwright-operator" {
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
				t.Fatal(err)
			}
			held = role.Rules
		}
	}
	for _, definition := range definitions {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(definition.Object, &crd, true); err != nil {
			t.Fatalf("%s: %v", definition.GetName(), err)
		}
		if crd.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s would be deleted with the release", crd.Name)
		}
		known := slices.ContainsFunc(meshrevision.Tenants, func(kind schema.GroupVersionKind) bool {
			return kind.Group == crd.Spec.Group && kind.Kind == crd.Spec.Names.Kind && slices.ContainsFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
				return v.Name == kind.Version && v.Served
			})
		})
		if !known {
			t.Errorf("%s does not make a namespace somebody's", crd.Name)
		}
		if !holds(held, crd.Spec.Group, crd.Spec.Names.Plural, "list") {
			t.Errorf("the operator may not list %s", crd.Name)
		}
	}
}

// TestHTTP3 adds a port of UDP beside that of HTTPS.
func TestHTTP3(t *testing.T) {
	for _, on := range []bool{false, true} {
		objects, err := load(t).Render(helm.Release{
			Chart: "gateway", Name: "edge", Namespace: "edge", Values: map[string]any{"service": map[string]any{"http3": on}},
		}, kubeVersion)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, o := range objects {
			var ports []any
			switch o.GetKind() {
			case "Service":
				ports, _, _ = unstructured.NestedSlice(o.Object, "spec", "ports")
			case "Deployment":
				containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
				ports, _, _ = unstructured.NestedSlice(containers[0].(map[string]any), "ports")
			}
			for _, p := range ports {
				if p := p.(map[string]any); p["protocol"] == "UDP" && (p["port"] == int64(443) && p["targetPort"] == int64(8443) || p["containerPort"] == int64(8443)) {
					found++
				}
			}
		}
		if want := map[bool]int{false: 0, true: 2}[on]; found != want {
			t.Errorf("http3=%t: %d ports of UDP in Service and Deployment, want %d", on, found, want)
		}
	}
}

// TestRightsOnNodes: the CNI plugin's agent has what it needs of a node, and no more.
func TestRightsOnNodes(t *testing.T) {
	checked := 0
	for name, objects := range renderings(t) {
		for _, object := range objects {
			spec, ok := podSpec(t, object)
			if !ok || object.GetKind() != "DaemonSet" {
				continue
			}
			checked++
			if spec.HostPID || spec.HostIPC || !spec.HostNetwork || spec.PriorityClassName == "" || len(spec.Tolerations) == 0 || len(spec.Containers) != 1 {
				t.Errorf("%s: the pod is %+v", name, spec)
			}
			s := spec.Containers[0].SecurityContext
			add := []corev1.Capability{"NET_ADMIN", "NET_RAW", "SYS_ADMIN"}
			if s == nil || s.Privileged == nil || *s.Privileged || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
				!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, add) {
				t.Errorf("%s: the security context is %+v", name, s)
			}
			var paths []string
			for _, v := range spec.Volumes {
				if v.HostPath == nil {
					t.Errorf("%s: volume %s", name, v.Name)
					continue
				}
				paths = append(paths, v.Name)
			}
			if !slices.Equal(paths, []string{"bin", "conf", "socket"}) {
				t.Errorf("%s: volumes of the host are %v", name, paths)
			}
		}
	}
	if checked == 0 {
		t.Fatal("no DaemonSet was seen")
	}
}

// TestImagesComeFromOneRegistry: what is installed, and what control planes inject,
// comes from the registry that a spec names, with its secret.
func TestImagesComeFromOneRegistry(t *testing.T) {
	const registry = "registry.internal:5000/mirror"
	objects := render(t, load(t), plan(t, v1alpha1.MeshOperatorSpec{
		Profile:    "demo",
		Components: &v1alpha1.Components{CNI: &v1alpha1.CNI{Enabled: new(true)}},
		Image:      &v1alpha1.Image{Registry: registry, Tag: "v9", PullSecrets: []string{"mirror"}},
	}))
	var images []string
	for _, object := range objects {
		spec, ok := podSpec(t, object)
		if !ok {
			continue
		}
		if len(spec.ImagePullSecrets) != 1 || spec.ImagePullSecrets[0].Name != "mirror" {
			t.Errorf("%s: pull secrets are %v", describe(object), spec.ImagePullSecrets)
		}
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			images = append(images, c.Image)
			for _, argument := range c.Args {
				if image, ok := strings.CutPrefix(argument, "--proxy-image="); ok {
					images = append(images, image)
				}
			}
		}
	}
	slices.Sort(images)
	var want []string
	for _, name := range []string{"cni", "controlplane", "proxy"} {
		want = append(want, registry+"/"+name+":v9")
	}
	if got := slices.Compact(images); !slices.Equal(got, want) {
		t.Errorf("images are %v, want %v", got, want)
	}
}

// TestValuesAreThoseOfTheSchema: a chart's values and its schema have the same names.
func TestValuesAreThoseOfTheSchema(t *testing.T) {
	for _, name := range load(t).Names() {
		values := read(t, filepath.Join(name, "values.yaml"))
		schema := read(t, filepath.Join(name, "values.schema.json"))["properties"].(map[string]any)
		delete(schema, "global")
		if got, want := slices.Sorted(maps.Keys(values)), slices.Sorted(maps.Keys(schema)); !slices.Equal(got, want) {
			t.Errorf("chart %s: values are %v, those of the schema %v", name, got, want)
		}
	}
}

// TestDefinitionsFitAnAnnotation: kubectl apply keeps what it applied in an
// annotation, and all annotations of an object have 256 KiB.
func TestDefinitionsFitAnAnnotation(t *testing.T) {
	files, err := filepath.Glob("operator/files/crds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	for _, file := range files {
		text, err := json.Marshal(read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if most := 250 << 10; len(text) > most {
			t.Errorf("%s has %d bytes, more than %d", file, len(text), most)
		}
	}
}
