// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestHelmByHalves: who has rights in a namespace alone installs a control plane there, once an administrator has
// installed what is of the cluster.
func TestHelmByHalves(t *testing.T) {
	ctx := context.Background()
	const namespace = "helm-halves"
	if err := world.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	tenant := tenantOf(t, namespace)
	loaded, err := loader.Load(filepath.Join("..", "..", "..", "charts", "controlplane"))
	if err != nil {
		t.Fatal(err)
	}
	install := func(kubeconfig, release, scope string) error {
		config := configureAs(t, kubeconfig, namespace)
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace = release, namespace
		_, err := install.RunWithContext(ctx, loaded, map[string]any{"revision": "halves", "replicas": 2, "resourceScope": scope})
		if err == nil {
			t.Cleanup(func() {
				if _, err := action.NewUninstall(config).Run(release); err != nil {
					t.Errorf("uninstall %s: %v", release, err)
				}
			})
		}
		return err
	}
	if err := install(tenant, "whole", "all"); err == nil {
		t.Error("who may do nothing outside of the namespace installed the whole: the test proves nothing")
	}
	if err := install(world.adminKubeconfig, "cluster", "cluster"); err != nil {
		t.Fatal(err)
	}
	if exists(t, &appsv1.Deployment{}, namespace, "meshwright-halves") {
		t.Error("the part of the cluster has a Deployment")
	}
	if err := install(tenant, "namespace", "namespace"); err != nil {
		t.Fatal(err)
	}
	if !exists(t, &appsv1.Deployment{}, namespace, "meshwright-halves") || !exists(t, &rbacv1.ClusterRole{}, "", "meshwright-halves-"+namespace) {
		t.Error("both halves are not the whole")
	}
}

// tenantOf makes a user who may do all in a namespace and nothing elsewhere, and returns his kubeconfig.
func tenantOf(t *testing.T, namespace string) string {
	t.Helper()
	ctx := context.Background()
	name := metav1.ObjectMeta{Namespace: namespace, Name: "tenant"}
	role := &rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: name, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "tenant"}},
	}
	if err := world.admin.Create(ctx, role); err != nil {
		t.Fatal(err)
	}
	if err := world.admin.Create(ctx, binding); err != nil {
		t.Fatal(err)
	}
	_, kubeconfig, err := world.server.User("tenant", "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
