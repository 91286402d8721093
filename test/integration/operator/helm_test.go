// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// TestHelm installs, upgrades and uninstalls the charts of a mesh as the helm
// client does. Nothing runs on a bare API server, so nothing is waited for.
func TestHelm(t *testing.T) {
	podsStart.Store(true)
	ctx := context.Background()
	if err := world.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "helm-mesh"}}); err != nil {
		t.Fatal(err)
	}
	clean(t)
	releases := []struct {
		chart, namespace string
		values           map[string]any
		deployment       string
	}{
		{"base", "helm-mesh", nil, ""},
		{"controlplane", "helm-mesh", map[string]any{"revision": "helm", "replicas": 2}, "meshwright-helm"},
		{"gateway", "helm-mesh", map[string]any{"revision": "helm", "name": "edge", "service": map[string]any{"type": "ClusterIP"}}, "edge"},
	}
	for _, r := range releases {
		config := configure(t, r.namespace)
		loaded, err := loader.Load(filepath.Join("..", "..", "..", "charts", r.chart))
		if err != nil {
			t.Fatal(err)
		}
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace = r.chart, r.namespace
		if _, err := install.RunWithContext(ctx, loaded, r.values); err != nil {
			t.Fatalf("install %s: %v", r.chart, err)
		}
		upgrade := action.NewUpgrade(config)
		upgrade.Namespace = r.namespace
		if _, err := upgrade.RunWithContext(ctx, r.chart, loaded, r.values); err != nil {
			t.Fatalf("upgrade %s: %v", r.chart, err)
		}
		if r.deployment != "" && !exists(t, &appsv1.Deployment{}, r.namespace, r.deployment) {
			t.Errorf("chart %s: no Deployment %s", r.chart, r.deployment)
		}
	}
	besideHelm(t)
	for i := len(releases) - 1; i >= 0; i-- {
		r := releases[i]
		if _, err := action.NewUninstall(configure(t, r.namespace)).Run(r.chart); err != nil {
			t.Errorf("uninstall %s: %v", r.chart, err)
		}
		if r.deployment != "" && exists(t, &appsv1.Deployment{}, r.namespace, r.deployment) {
			t.Errorf("chart %s: Deployment %s stays behind", r.chart, r.deployment)
		}
	}
	if !exists(t, &apiextensionsv1.CustomResourceDefinition{}, "", "virtualservices.networking.istio.io") {
		t.Error("the CRDs are gone with the release")
	}
	clean(t)
}

// besideHelm asks the operator for what Helm has installed: it says so, and touches nothing, not even when it is told to
// remove its own again.
func besideHelm(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	controlPlaneWorks.Store(true)
	eventually(t, 30*time.Second, func() error {
		if !exists(t, &corev1.Secret{}, "helm-mesh", "meshwright-ca") || rootsIn(t) == 0 {
			return errors.New("the control plane has written nothing")
		}
		return nil
	})
	controlPlaneWorks.Store(false) // What is deleted from now on stays deleted.
	start(t)
	for namespace, object := range map[string]string{
		"helm-mesh":  "MutatingWebhookConfiguration meshwright-injector-helm",
		"helm-other": "MutatingWebhookConfiguration meshwright-injector-helm",
	} {
		m := mesh(t, namespace, v1alpha1.MeshOperatorSpec{
			Profile: "minimal", Revision: "helm", Namespace: namespace, DeletionPolicy: v1alpha1.DeletionPurge,
		})
		await(t, m, v1alpha1.ConditionStalled, metav1.ConditionTrue, "ObjectConflict: "+object+" exists already and belongs to the Helm release helm-mesh/controlplane")
		if objects := owned(t, "helm"); len(objects) > 0 {
			t.Errorf("namespace %s: beside a conflict there are %v", namespace, objects)
		}
		if err := world.admin.Delete(ctx, m); err != nil {
			t.Fatal(err)
		}
		removed(t, m)
	}
	if !exists(t, &corev1.Secret{}, "helm-mesh", "meshwright-ca") || rootsIn(t) == 0 {
		t.Error("the authority of the mesh that Helm installed is gone, or its root certificates are")
	}
	if !exists(t, &appsv1.Deployment{}, "helm-mesh", "meshwright-helm") {
		t.Error("the control plane that Helm installed is gone")
	}
	if exists(t, &corev1.Namespace{}, "", "helm-other") {
		t.Error("the namespace that the operator made is still there")
	}
}

// ownGroups are the operator's own APIs, which are there for all tests.
var ownGroups = []string{"operator.meshwright.dev", "install.istio.io"}

// clean takes away the CRDs that another test left: Helm adopts none.
func clean(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	var definitions apiextensionsv1.CustomResourceDefinitionList
	if err := world.admin.List(ctx, &definitions); err != nil {
		t.Fatal(err)
	}
	for i := range definitions.Items {
		if !slices.Contains(ownGroups, definitions.Items[i].Spec.Group) {
			_ = world.admin.Delete(ctx, &definitions.Items[i])
		}
	}
	eventually(t, 2*time.Minute, func() error {
		var left apiextensionsv1.CustomResourceDefinitionList
		if err := world.admin.List(ctx, &left); err != nil {
			return err
		}
		for i := range left.Items {
			definition := &left.Items[i]
			if slices.Contains(ownGroups, definition.Spec.Group) {
				continue
			}
			hasten(ctx, definition)
			return fmt.Errorf("%s is still there: %v", definition.Name, definition.Status.Conditions)
		}
		return nil
	})
}

// hasten lets the API server try again to delete a definition. When the storage of the
// kind was just being made anew, it waits longer after each try, unless it changes.
func hasten(ctx context.Context, definition *apiextensionsv1.CustomResourceDefinition) {
	before := client.MergeFrom(definition.DeepCopy())
	definition.Annotations = map[string]string{"hastened": time.Now().Truncate(time.Second).Format(time.RFC3339)}
	_ = world.admin.Patch(ctx, definition, before)
}

func configure(t *testing.T, namespace string) *action.Configuration {
	t.Helper()
	return configureAs(t, world.adminKubeconfig, namespace)
}

func configureAs(t *testing.T, kubeconfig, namespace string) *action.Configuration {
	t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &kubeconfig, &namespace
	config := new(action.Configuration)
	if err := config.Init(flags, namespace, "secret", func(format string, args ...any) { t.Logf(format, args...) }); err != nil {
		t.Fatal(err)
	}
	return config
}
