// SPDX-License-Identifier: Apache-2.0

//go:build integration

package meshctl

import (
	"encoding/json"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

var operatorKey = client.ObjectKey{Namespace: "meshwright-system", Name: "meshwright-operator"}

// TestLife goes through what people do with a cluster that has nothing: the
// operator is not run here, so nobody acts on the MeshOperator.
func TestLife(t *testing.T) {
	t.Cleanup(func() { finalize(t, "meshwright-system") })
	ctx := t.Context()
	if r := meshctl(t, "", "status"); r.code != 1 || !strings.Contains(r.out, "there is no mesh") {
		t.Error(r)
	}
	if r := meshctl(t, "", "upgrade", "--tag", "t2"); r.code != 1 || !strings.Contains(r.errs, "there is no mesh") {
		t.Error(r)
	}
	if r := meshctl(t, "", "version"); r.code != 0 || strings.Contains(r.out, "operator") {
		t.Error(r)
	}
	// Dry: everything is said and nothing done.
	r := meshctl(t, "", "install", "--profile", "minimal", "--dry-run")
	if r.code != 0 || !strings.Contains(r.out, "kind: Deployment") || !strings.Contains(r.out, "kind: MeshOperator\nmetadata:\n  name: mesh\n") {
		t.Error(r)
	}
	if err := world.admin.Get(ctx, client.ObjectKey{Name: "meshwright-system"}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		t.Errorf("a dry run made a namespace: %v", err)
	}
	r = meshctl(t, "", "install", "--profile", "minimal", "--registry", "registry.example.org/mesh", "--tag", "t1", "--wait=false")
	if r.code != 0 {
		t.Fatal(r)
	}
	installed(t)
	again(t)
	upgraded(t)
	tagged(t)
	removed(t)
}

// installed looks at what install made.
func installed(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	d := &appsv1.Deployment{}
	if err := world.admin.Get(ctx, operatorKey, d); err != nil {
		t.Fatal(err)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if c.Image != "registry.example.org/mesh/operator:t1" || !strings.Contains(strings.Join(c.Args, " "), "--image-registry=registry.example.org/mesh --image-tag=t1") {
		t.Errorf("the operator runs %s %v", c.Image, c.Args)
	}
	if d.Labels["app.kubernetes.io/managed-by"] != "meshctl" || d.ManagedFields[0].Manager != "meshctl" || d.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("the operator belongs to %v, %+v", d.Labels, d.ManagedFields[0])
	}
	for _, object := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "meshwright-operator"}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "meshwright-operator"}},
		&apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "istiooperators.install.istio.io"}},
	} {
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			t.Error(err)
		}
	}
	mesh := &v1alpha1.MeshOperator{}
	if err := world.admin.Get(ctx, client.ObjectKey{Name: "mesh"}, mesh); err != nil || mesh.Spec.Profile != "minimal" {
		t.Errorf("the mesh is %+v (%v)", mesh.Spec, err)
	}
	r := meshctl(t, "", "version", "-o", "json")
	var v struct {
		Operators []struct{ Version, InstalledBy, Image string }
	}
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v.Operators) != 1 || v.Operators[0].InstalledBy != "meshctl" || v.Operators[0].Version == "" {
		t.Errorf("%+v, %v: %s", v, err, r)
	}
	if r = meshctl(t, "", "status"); r.code != 1 || !strings.Contains(r.out, "no operator is ready") || !strings.Contains(r.out, "mesh mesh is not ready") {
		t.Error(r)
	}
}

// again installs what is there: nothing is written, and what would change is
// asked for.
func again(t *testing.T) {
	t.Helper()
	before := &v1alpha1.MeshOperator{}
	if err := world.admin.Get(t.Context(), client.ObjectKey{Name: "mesh"}, before); err != nil {
		t.Fatal(err)
	}
	r := meshctl(t, "", "install", "--profile", "minimal", "--wait=false")
	if r.code != 0 || !strings.Contains(r.errs, "is what is asked for already") || !strings.Contains(r.errs, "installed by meshctl") {
		t.Error(r)
	}
	r = meshctl(t, "n\n", "install", "--profile", "demo", "--wait=false")
	if r.code != 1 || !strings.Contains(r.errs, `~ spec.profile: "minimal" -> "demo"`) || !strings.Contains(r.errs, "nothing was changed") {
		t.Error(r)
	}
	after := &v1alpha1.MeshOperator{}
	if err := world.admin.Get(t.Context(), client.ObjectKey{Name: "mesh"}, after); err != nil || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the mesh was written: %v", err)
	}
	// The revision is taken; that is said before anything is written.
	if r = meshctl(t, "", "install", "--name", "other", "--profile", "minimal"); r.code != 3 || !strings.Contains(r.errs, "MeshOperator mesh: it has the revision default already") {
		t.Error(r)
	}
	// Nobody acts on it: the waiting ends with what is missing.
	if r = meshctl(t, "", "install", "--profile", "minimal", "--timeout", "1s"); r.code != 4 || !strings.Contains(r.errs, "no operator has looked at it yet") {
		t.Error(r)
	}
}

func upgraded(t *testing.T) {
	t.Helper()
	r := meshctl(t, "y\n", "upgrade", "--tag", "t2", "--strategy", "Canary", "--set", "gateways.ingress[0].name=edge", "--wait=false")
	if r.code != 0 || !strings.Contains(r.errs, `+ spec.image: {"tag":"t2"}`) {
		t.Error(r)
	}
	mesh := &v1alpha1.MeshOperator{}
	if err := world.admin.Get(t.Context(), client.ObjectKey{Name: "mesh"}, mesh); err != nil {
		t.Fatal(err)
	}
	if mesh.Spec.Image.Tag != "t2" || mesh.Spec.UpgradeStrategy.Type != v1alpha1.Canary || mesh.Spec.Gateways.Ingress[0].Name != "edge" || mesh.Spec.Profile != "minimal" {
		t.Errorf("the spec is %+v", mesh.Spec)
	}
	// What the API server refuses is told in its words.
	if r = meshctl(t, "", "upgrade", "-y", "--strategy", "Sometimes"); r.code != 1 || !strings.Contains(r.errs, "upgradeStrategy.type") {
		t.Error(r)
	}
	if r = meshctl(t, "", "rollback", "-y"); r.code != 1 || !strings.Contains(r.errs, "never ready") {
		t.Error(r)
	}
	if r = meshctl(t, "", "promote", "-y"); r.code != 1 || !strings.Contains(r.errs, "no upgrade") {
		t.Error(r)
	}
	for _, c := range []struct {
		command string
		paused  bool
	}{{"pause", true}, {"resume", false}} {
		args := []string{c.command, "-y"}
		if c.command == "resume" {
			args = append(args, "--wait=false")
		}
		if r = meshctl(t, "", args...); r.code != 0 {
			t.Error(r)
		}
		if err := world.admin.Get(t.Context(), client.ObjectKey{Name: "mesh"}, mesh); err != nil || mesh.Spec.UpgradeStrategy.Paused != c.paused {
			t.Errorf("%s: %v, %+v", c.command, err, mesh.Spec.UpgradeStrategy)
		}
	}
	mesh.Status.Upgrade = &v1alpha1.UpgradeStatus{From: "default", To: "default-x", Phase: v1alpha1.UpgradeMoving, StartTime: metav1.Now(), ProgressTime: metav1.Now()}
	if err := world.admin.Status().Update(t.Context(), mesh); err != nil {
		t.Fatal(err)
	}
	if r = meshctl(t, "", "promote", "-y", "--wait=false"); r.code != 0 || !strings.Contains(r.errs, `spec.upgradeStrategy.canary: {"promote":"default-x"}`) {
		t.Error(r)
	}
	if r = meshctl(t, "", "abort", "-y"); r.code != 0 || !strings.Contains(r.errs, `+ spec.upgradeStrategy.canary.abort: "default-x"`) {
		t.Error(r)
	}
	// The operator, in the version of meshctl, from where it was.
	if r = meshctl(t, "", "upgrade", "--operator", "--wait=false", "-y"); r.code != 0 {
		t.Error(r)
	}
	d := &appsv1.Deployment{}
	if err := world.admin.Get(t.Context(), operatorKey, d); err != nil || d.Spec.Template.Spec.Containers[0].Image != "registry.example.org/mesh/operator:t1" {
		t.Errorf("the operator comes from elsewhere: %v", err)
	}
}

func tagged(t *testing.T) {
	t.Helper()
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"istio.io/rev": "prod"}}})
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "off", Labels: map[string]string{"istio.io/rev": "prod", "istio-injection": "disabled"}}})
	if r := meshctl(t, "", "tag", "set", "prod"); r.code != 2 || !strings.Contains(r.errs, "--revision") {
		t.Error(r)
	}
	if r := meshctl(t, "", "tag", "set", "prod", "--revision", "default", "--timeout", "1s"); r.code != 4 || !strings.Contains(r.errs, "no operator has looked at it yet") {
		t.Error(r)
	}
	tag := &v1alpha1.MeshRevisionTag{}
	if err := world.admin.Get(t.Context(), client.ObjectKey{Name: "prod"}, tag); err != nil || tag.Spec.Revision != "default" {
		t.Errorf("the tag is %+v (%v)", tag.Spec, err)
	}
	if r := meshctl(t, "n\n", "tag", "set", "prod", "--revision", "blue", "--wait=false"); r.code != 1 || !strings.Contains(r.errs, `"default" -> "blue"`) {
		t.Error(r)
	}
	if r := meshctl(t, "", "tag", "set", "prod", "--revision", "blue", "--wait=false", "-y"); r.code != 0 {
		t.Error(r)
	}
	if err := world.admin.Get(t.Context(), client.ObjectKey{Name: "prod"}, tag); err != nil {
		t.Fatal(err)
	}
	tag.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", ObservedGeneration: tag.Generation, Reason: "Ready", LastTransitionTime: metav1.Now()}}
	tag.Status.Revision = "blue-x"
	if err := world.admin.Status().Update(t.Context(), tag); err != nil {
		t.Fatal(err)
	}
	if r := meshctl(t, "", "tag", "set", "prod", "--revision", "blue"); r.code != 0 || r.out != "MeshRevisionTag prod is ready: MeshRevision blue-x answers\n" {
		t.Error(r)
	}
	if r := meshctl(t, "", "tag", "list"); r.code != 0 || !strings.HasSuffix(r.out, "\nprod   blue       blue-x    True    shop         -\n") {
		t.Error(r)
	}
	if r := meshctl(t, "", "tag", "remove", "prod"); r.code != 1 || !strings.Contains(r.errs, "namespaces shop say it") {
		t.Error(r)
	}
	if r := meshctl(t, "", "tag", "remove", "prod", "-y"); r.code != 0 {
		t.Error(r)
	}
	if r := meshctl(t, "", "tag", "list", "-o", "json"); r.code != 0 || r.out != "[]\n" {
		t.Error(r)
	}
}

func removed(t *testing.T) {
	t.Helper()
	if r := meshctl(t, "", "uninstall"); r.code != 1 || !strings.Contains(r.errs, "MeshOperator mesh, revision default") || !strings.Contains(r.errs, "nothing was changed") {
		t.Error(r)
	}
	if r := meshctl(t, "", "uninstall", "nonesuch", "-y"); r.code != 1 || !strings.Contains(r.errs, "there are: mesh") {
		t.Error(r)
	}
	r := meshctl(t, "", "uninstall", "--operator", "-y")
	if r.code != 0 || !strings.Contains(r.out, "MeshOperator mesh is gone\nthe operator is removed\n") || !strings.Contains(r.errs, "CustomResourceDefinition meshoperators.operator.meshwright.dev stays") {
		t.Error(r)
	}
	if err := world.admin.Get(t.Context(), operatorKey, &appsv1.Deployment{}); !apierrors.IsNotFound(err) {
		t.Errorf("the operator is there: %v", err)
	}
	namespace := &corev1.Namespace{}
	if err := world.admin.Get(t.Context(), client.ObjectKey{Name: "meshwright-system"}, namespace); err != nil || namespace.DeletionTimestamp != nil {
		t.Errorf("the namespace is not meshctl's alone: %v", err)
	}
	if r = meshctl(t, "", "uninstall", "-y"); r.code != 0 || !strings.Contains(r.errs, "there is no mesh") {
		t.Error(r)
	}
}
