// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
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

// What a workload sends to hosts that nobody knows goes to the host that its Sidecar
// names, as it was asked for; what somebody knows goes there. It runs alone: another case
// has a Sidecar for the same pod.
func testEgressProxy(t *testing.T) {
	outside, err := cluster.PodOf(t.Context(), plainSpace, "app=outside-a")
	must(t, err)
	url := "http://" + outside.Status.PodIP + ":8080"
	scopedCalls := func(ctx context.Context, args ...string) (env.Report, error) {
		return cluster.Call(ctx, appSpace, "app=scoped", "echo", args...)
	}
	by := func(version string) func(env.Report) error {
		return func(r env.Report) error {
			if err := answered(r); err != nil {
				return err
			}
			if r.Versions[version] != r.Requests {
				return fmt.Errorf("answered by %v, want %s", r.Versions, version)
			}
			return nil
		}
	}
	until(t, "an unknown host is passed through", by("outside-a"), scopedCalls, url, "--host=unknown.e2e.example")
	given(t, service("way-out", "app: echo, version: v1"), object("Sidecar", "proxied", `
  workloadSelector: {labels: {app: scoped}}
  outboundTrafficPolicy:
    mode: ALLOW_ANY
    egressProxy: {host: way-out.e2e-app.svc.cluster.local, port: {number: 8080}}`))
	e, err := until(t, "an unknown host goes to the proxy", by("v1"), scopedCalls, url, "--host=unknown.e2e.example", "--count=5").Echo()
	must(t, err)
	if e.Asked != "unknown.e2e.example" {
		t.Errorf("the proxy was asked for %s", e.Asked)
	}
	r, err := scopedCalls(t.Context(), "http://backend:8080", "--count=5")
	must(t, err)
	must(t, answered(r))
	for pod := range r.Hosts {
		if !strings.HasPrefix(pod, "backend-") {
			t.Errorf("a known host was answered by %s", pod)
		}
	}
}
