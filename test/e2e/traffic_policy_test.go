// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// meshName is the name of the mesh in meshManifest.
const meshName = "mesh"

// setOutboundPolicy says what the mesh's sidecars do with hosts that it does not
// know; an empty mode says nothing.
func setOutboundPolicy(ctx context.Context, mode string) error {
	value := "null"
	if mode != "" {
		value = `{"mode": "` + mode + `"}`
	}
	r, err := cluster.Resource(ctx, env.MeshOperator, "")
	if err != nil {
		return err
	}
	patch := []byte(`{"spec": {"meshConfig": {"outboundTrafficPolicy": ` + value + `}}}`)
	if _, err := r.Patch(ctx, meshName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("set the policy: %w", err)
	}
	_, err = cluster.WaitMesh(ctx, installLimit, meshName)
	return err
}

// Hosts that nobody knows are passed through, or refused where only what is
// registered may be called; what a ServiceEntry has is reached in both cases. It
// runs alone: the policy is the mesh's.
func testOutboundPolicy(t *testing.T) {
	outside, err := cluster.PodOf(t.Context(), plainSpace, "app=outside-a")
	must(t, err)
	url, bytes := "http://"+outside.Status.PodIP+":8080", "greeted://"+outside.Status.PodIP+":9091"
	given(t, object("ServiceEntry", "registered", `
  hosts: [registered.e2e.example]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  location: MESH_EXTERNAL
  resolution: DNS
  endpoints: [{address: outside-a.e2e-plain.svc.cluster.local}]`))
	must(t, answered(asked(t, url, "--host=unknown.e2e.example")))
	must(t, answered(asked(t, bytes)))
	t.Cleanup(func() {
		if err := setOutboundPolicy(context.Background(), ""); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	must(t, setOutboundPolicy(t.Context(), "REGISTRY_ONLY"))
	until(t, "an unknown host is refused", func(r env.Report) error {
		if r.Codes["502"] != 1 {
			return fmt.Errorf("%s, want 502", r)
		}
		return nil
	}, call, url, "--host=unknown.e2e.example")
	until(t, "unknown bytes are refused", func(r env.Report) error {
		if len(r.Errors) == 0 {
			return fmt.Errorf("%s, want none answered", r)
		}
		return nil
	}, call, bytes)
	must(t, answered(asked(t, url, "--host=registered.e2e.example", "--count=5")))
	must(t, answered(asked(t, echoURL, "--count=5")))
	must(t, setOutboundPolicy(t.Context(), "ALLOW_ANY"))
	until(t, "an unknown host is passed through", answered, call, url, "--host=unknown.e2e.example")
}
