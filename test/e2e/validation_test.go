// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// badRegex passes the schema; only the control plane can tell that it is none.
const badRegex = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: invalid
spec:
  hosts: [invalid.e2e.example]
  http:
    - match:
        - uri: {regex: "a[b"}
      route:
        - destination: {host: echo}
`

// Every invalid object is refused by the API server with the path of the field.
func testInvalidObjectsAreRefused(t *testing.T) {
	application(t)
	route := func(http string) string {
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: invalid\nspec:\n  hosts: [invalid.e2e.example]\n  http:\n    - " + http + "\n"
	}
	rule := func(spec string) string {
		return "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: invalid\nspec:\n  host: invalid.e2e.example\n  " + spec + "\n"
	}
	mesh := func(spec string) string {
		return "apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nmetadata:\n  name: e2e-invalid\nspec:\n  revision: e2e-invalid\n  " + spec + "\n"
	}
	for name, c := range map[string]struct{ manifest, path string }{
		"VirtualService, a regex that is none":      {badRegex, "spec.http[0].match[0].uri.regex"},
		"VirtualService, a timeout that is none":    {route("timeout: soon\n      route: [{destination: {host: echo}}]"), "spec.http[0].timeout"},
		"VirtualService, a negative weight":         {route("route: [{destination: {host: echo}, weight: -1}]"), "spec.http[0].route[0].weight"},
		"VirtualService, no host at a target":       {route("route: [{destination: {subset: v1}}]"), "spec.http[0].route[0].destination.host"},
		"DestinationRule, an unknown balancer":      {rule("trafficPolicy: {loadBalancer: {simple: FASTEST}}"), "spec.trafficPolicy.loadBalancer.simple"},
		"DestinationRule, one subset name twice":    {rule("subsets: [{name: a}, {name: a}]"), "spec.subsets[1]"},
		"MeshOperator, a namespace of Kubernetes":   {mesh("namespace: kube-system"), "spec.namespace"},
		"MeshOperator, a trust domain that is none": {mesh("meshConfig: {trustDomain: 'not a domain'}"), "spec.meshConfig.trustDomain"},
	} {
		err := create(t, c.manifest)
		if err == nil {
			t.Errorf("%s: accepted", name)
			if err := cluster.Delete(context.Background(), appSpace, []byte(c.manifest)); err != nil {
				t.Errorf("clean up: %v", err)
			}
			continue
		}
		if !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: refused without the path %s: %v", name, c.path, err)
		}
	}
	if err := cluster.Apply(t.Context(), "", []byte("apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nmetadata:\n  name: "+
		meshOf(t)+"\nspec:\n  revision: another\n")); err == nil || !strings.Contains(err.Error(), "revision") {
		t.Errorf("a change of the revision: %v, want a refusal that names it", err)
	}
}

// create makes the object of a manifest as a client does that knows nothing of
// server-side apply, whose own checks have paths of another form.
func create(t *testing.T, manifest string) error {
	t.Helper()
	objects, err := cluster.Parse([]byte(manifest))
	must(t, err)
	r, err := cluster.Resource(t.Context(), objects[0].GroupVersionKind(), appSpace)
	must(t, err)
	_, err = r.Create(t.Context(), objects[0], metav1.CreateOptions{})
	return err
}

// meshOf is the name of the MeshOperator that the tests installed.
func meshOf(t *testing.T) string {
	t.Helper()
	r, err := cluster.Resource(t.Context(), env.MeshOperator, "")
	must(t, err)
	list, err := r.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if len(list.Items) == 0 {
		t.Fatal("there is no MeshOperator")
	}
	return list.Items[0].GetName()
}

// With the webhook away an invalid object gets in. It gets its status; routes
// before and after it work. The operator is stopped meanwhile, for it would
// put the webhook back at once, and does so when it runs again.
func testSlipsPast(t *testing.T) {
	application(t)
	ctx := t.Context()
	const webhook = "meshwright-validator"
	webhooks := cluster.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	must(t, cluster.Scale(ctx, env.OperatorNamespace, env.OperatorName, 0))
	t.Cleanup(func() {
		ctx := context.Background()
		if err := cluster.Scale(ctx, env.OperatorNamespace, env.OperatorName, 1); err != nil {
			t.Errorf("start the operator again: %v", err)
		}
		if err := env.Eventually(ctx, podLimit, "the webhook put back", func(ctx context.Context) error {
			_, err := webhooks.Get(ctx, webhook, metav1.GetOptions{})
			return err
		}); err != nil {
			t.Error(err)
		}
	})
	must(t, cluster.WaitDeployments(ctx, podLimit, env.OperatorNamespace, env.OperatorName))
	must(t, webhooks.Delete(ctx, webhook, metav1.DeleteOptions{}))
	must(t, env.Eventually(ctx, changeLimit, "an invalid object gets in", func(ctx context.Context) error {
		return cluster.Apply(ctx, appSpace, []byte(badRegex))
	}))
	t.Cleanup(func() {
		if err := cluster.Delete(context.Background(), appSpace, []byte(badRegex)); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	c, err := cluster.WaitCondition(ctx, changeLimit, env.VirtualService, appSpace, "invalid", "Accepted", "False")
	must(t, err)
	if !strings.Contains(c.Message, "regex") {
		t.Errorf("Accepted=False with %s: %q, want the field that is wrong", c.Reason, c.Message)
	}
	applied(t, "subsets.yaml")
	applied(t, "header.yaml")
	until(t, "a valid route made after the invalid one", only("v2"), call, echoURL, "--count=20", "--header=end-user:jason")
}
