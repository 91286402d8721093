// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"os"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// cniSpace enforces the Pod Security Standard restricted.
const cniSpace = "e2e-restricted"

// With the CNI plugin, pods whose namespace allows no right are in the mesh: the
// call arrives through both proxies, with the client's identity.
func testCNI(t *testing.T) {
	installed(t)
	ctx := t.Context()
	manifest, err := os.ReadFile(meshManifest)
	must(t, err)
	name, err := cluster.ApplyMesh(ctx, manifest)
	must(t, err)
	meshes, err := cluster.Resource(ctx, env.MeshOperator, "")
	must(t, err)
	bin := cmp.Or(os.Getenv("E2E_CNI_BIN_DIR"), "/usr/lib/cni")
	patch := `{"spec":{"components":{"cni":{"enabled":true,"cniBinDir":"` + bin + `"}}}}`
	_, err = meshes.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "e2e-cni"})
	must(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		if err := cluster.DeleteNamespace(ctx, podLimit, cniSpace); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if _, err := meshes.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"components":{"cni":null}}}`), metav1.PatchOptions{}); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if _, err := cluster.WaitMesh(ctx, installLimit, name); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	_, err = cluster.WaitMesh(ctx, installLimit, name)
	must(t, err)
	_, err = cluster.WaitCondition(ctx, installLimit, env.MeshOperator, "", name, "CNIReady", "True")
	must(t, err)
	must(t, cluster.MakeNamespace(ctx, cniSpace, map[string]string{"istio-injection": "enabled", "pod-security.kubernetes.io/enforce": "restricted"}))
	must(t, cluster.Apply(ctx, cniSpace, data(t, "restricted.yaml")))
	must(t, cluster.WaitDeployments(ctx, podLimit, cniSpace, "echo"))
	report, err := cluster.Call(ctx, cniSpace, "app=echo", "echo", "http://echo:8080/", "--count=5")
	must(t, err)
	echo, err := report.Echo()
	must(t, err)
	if report.Failed() > 0 || len(echo.Headers["X-Forwarded-Client-Cert"]) == 0 {
		t.Errorf("the call did not go through the proxies: %s; headers %v", report, echo.Headers)
	}
	pod, err := cluster.PodOf(ctx, cniSpace, "app=echo")
	must(t, err)
	for _, c := range pod.Spec.InitContainers {
		if s := c.SecurityContext; s == nil || s.Capabilities == nil || len(s.Capabilities.Add) > 0 {
			t.Errorf("container %s has rights: %+v", c.Name, s)
		}
	}
}
