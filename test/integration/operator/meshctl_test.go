// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli"
)

// meshctl runs a command of meshctl as an administrator, wants its code, and
// texts in what it prints.
func meshctl(t *testing.T, code int, args []string, texts ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	got := cli.Run(ctx, append([]string{"--kubeconfig", world.adminKubeconfig}, args...), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	all := fmt.Sprintf("output:\n%s\nerrors:\n%s", out.String(), errs.String())
	if got != code {
		t.Fatalf("%v: code %d, want %d; %s", args, got, code, all)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("%v: no %q in %s", args, text, all)
		}
	}
	return out.String()
}

// operatorDeployment stands for the operator that runs as a process here.
func operatorDeployment(t *testing.T) {
	t.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "meshwright-operator", "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/version": "v0.1.0"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "meshwright-system", Name: "meshwright-operator", Labels: labels},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "operator", Image: "ghcr.io/meshwright/operator:v0.1.0"}}},
		}},
	}
	if err := world.admin.Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.admin.Delete(context.Background(), d); err != nil {
			t.Error(err)
		}
	})
}

// TestMeshctl goes through a mesh's life by meshctl, with the real operator.
func TestMeshctl(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	operatorDeployment(t)
	start(t)
	file := filepath.Join(t.TempDir(), "mesh.yaml")
	text := "apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nmetadata: {name: ctl}\nspec: {profile: demo, namespace: mesh-ctl}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { discard(t, &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "ctl"}}) })
	meshctl(t, 0, []string{"install", "-f", file},
		"meshwright-operator v0.1.0 is there, installed by Helm", "definitions    ready", "control plane  ready", "webhooks       ready", "gateways       ready",
		"MeshOperator ctl is ready: ", "gateway mesh-ctl/istio-ingressgateway: ")
	meshctl(t, 0, []string{"status"}, "True", "mesh-ctl/istio-ingressgateway")
	meshctl(t, 0, []string{"status", "ctl", "-o", "json"}, `"ready": "True"`)
	meshctl(t, 0, []string{"version"}, "control plane", "meshwright-system/meshwright-operator")
	drift(t, file)
	meshctl(t, 5, []string{"manifest", "diff", "--live", "-f", file, "--set", "gateways.egress[0].name=istio-egressgateway,gateways.egress[0].enabled=false"},
		"- Deployment mesh-ctl/istio-egressgateway")
	more := []string{"--set", "gateways.ingress[0].name=istio-ingressgateway,gateways.ingress[0].replicas=2"}
	meshctl(t, 5, append([]string{"manifest", "diff", "--live", "-f", file}, more...), "~ Deployment mesh-ctl/istio-ingressgateway\n    ~ spec.replicas: 1 -> 2")
	meshctl(t, 0, append([]string{"upgrade", "-y"}, more...), "MeshOperator ctl is ready: ")
	// What nobody can install ends the waiting at once, with the remedy.
	meshctl(t, 1, []string{"upgrade", "ctl", "-y", "--set", "profile=nonesuch"}, "UnknownProfile", "remedy: choose a profile")
	meshctl(t, 1, []string{"status"}, "PROBLEMS\n  mesh ctl is not ready: UnknownProfile")
	meshctl(t, 0, []string{"upgrade", "ctl", "-y", "-f", file}, "MeshOperator ctl is ready: ")
	meshctl(t, 0, []string{"tag", "set", "ctl-prod", "--revision", "default"}, "MeshRevisionTag ctl-prod is ready: MeshRevision default answers")
	meshctl(t, 0, []string{"status"}, "ctl-prod")
	meshctl(t, 0, []string{"tag", "remove", "ctl-prod", "-y"})
	meshctl(t, 0, []string{"uninstall", "ctl", "-y"}, "its gateway mesh-ctl/istio-ingressgateway", "MeshOperator ctl is gone")
	if left := owned(t, "default"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// drift changes a field while the operator is paused, and looks for it.
func drift(t *testing.T, file string) {
	t.Helper()
	meshctl(t, 0, []string{"manifest", "diff", "--live", "ctl"})
	meshctl(t, 0, []string{"manifest", "diff", "--live", "-f", file})
	pause := func(value string) {
		for _, object := range []client.Object{
			&v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "ctl"}},
			&v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		} {
			patch := []byte(`{"metadata":{"annotations":{"` + v1alpha1.AnnotationPaused + `":` + value + `}}}`)
			if err := world.admin.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, patch)); err != nil {
				t.Fatal(err)
			}
		}
	}
	pause(`"true"`)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh-ctl", Name: "istio-ingressgateway"}}
	// The last reconcile from before the pause may still put one change back.
	eventually(t, 20*time.Second, func() error {
		if err := world.admin.Patch(t.Context(), service, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"type":"NodePort"}}`))); err != nil {
			return err
		}
		var out, errs bytes.Buffer
		code := cli.Run(t.Context(), []string{"--kubeconfig", world.adminKubeconfig, "manifest", "diff", "--live", "ctl"}, cli.Streams{Out: &out, Err: &errs})
		if code != 5 || !strings.Contains(out.String(), "~ Service mesh-ctl/istio-ingressgateway\n") || !strings.Contains(out.String(), `spec.type: "NodePort" -> "LoadBalancer"`) {
			return fmt.Errorf("code %d: %s%s", code, out.String(), errs.String())
		}
		return nil
	})
	pause("null")
	eventually(t, 20*time.Second, func() error {
		if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil || service.Spec.Type != corev1.ServiceTypeLoadBalancer {
			return fmt.Errorf("not put back: %v, %s", err, service.Spec.Type)
		}
		return nil
	})
}
