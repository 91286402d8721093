// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apiv2 "github.com/operator-framework/api/pkg/operators/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/test/e2e/env"
	"github.com/meshwright/meshwright/test/olm"
)

var (
	repository = filepath.Join("..", "..")
	// istioMesh is the IstioOperator that somebody has who used the operator of Istio.
	istioMesh = filepath.Join(repository, "config", "samples", "istiooperator_demo.yaml")
)

// TestOLM walks the way of those who used the operator of Istio: their OperatorGroup and Subscription install the operator
// (the test plays the part of OLM), and their IstioOperator becomes a mesh that serves. It ends with what was there before.
func TestOLM(t *testing.T) {
	ctx := t.Context()
	must(t, cluster.InstallOperator(ctx, installLimit, operatorChart))
	must(t, removeMeshes(ctx))
	must(t, cluster.UninstallOperator())
	must(t, cluster.WaitNoPods(ctx, podLimit, env.OperatorNamespace, operatorSelector))
	must(t, cluster.DeleteNamespace(ctx, hangLimit, env.MeshNamespace))
	request, err := olm.Read(repository)
	must(t, err)
	bundle, err := request.Bundle(repository)
	must(t, err)
	plan, err := request.Plan(bundle)
	must(t, err)
	before := settled(t)

	must(t, cluster.MakeNamespace(ctx, plan.Condition.Namespace, nil))
	for _, object := range append(append(plan.Definitions, plan.Objects...), plan.Deployment) {
		must(t, cluster.Apply(ctx, plan.Condition.Namespace, manifestOf(t, object)))
	}
	must(t, cluster.WaitDeployments(ctx, installLimit, plan.Condition.Namespace, plan.Deployment.Name))
	start := time.Now()
	must(t, cluster.ApplyFiles(ctx, "", istioMesh))
	_, err = cluster.WaitMesh(ctx, installLimit, env.MeshNamespace+".mesh")
	must(t, err)
	t.Logf("ready after %.0f s", time.Since(start).Seconds())
	condition, err := apiutil.GVKForObject(&apiv2.OperatorCondition{}, kinds(t))
	must(t, err)
	must(t, env.Eventually(ctx, changeLimit, "the operator tells OLM that it can be upgraded", func(ctx context.Context) error {
		u, err := cluster.Get(ctx, condition, plan.Condition.Namespace, plan.Condition.Name)
		if err != nil {
			return err
		}
		object := &apiv2.OperatorCondition{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, object); err != nil {
			return err
		}
		for _, c := range object.Spec.Conditions {
			if c.Type == apiv2.Upgradeable && c.Status == metav1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("conditions %+v", object.Spec.Conditions)
	}))
	serves(t)

	r, err := cluster.Resource(ctx, env.IstioOperator, env.MeshNamespace)
	must(t, err)
	must(t, r.Delete(ctx, "mesh", metav1.DeleteOptions{}))
	must(t, cluster.WaitGone(ctx, installLimit, env.IstioOperator, env.MeshNamespace, "mesh"))
	must(t, cluster.WaitNoMesh(ctx, installLimit))
	must(t, cluster.Delete(ctx, plan.Condition.Namespace, manifestOf(t, plan.Deployment)))
	for _, object := range append(plan.Objects, plan.Definitions[0]) {
		must(t, cluster.Delete(ctx, plan.Condition.Namespace, manifestOf(t, object)))
	}
	must(t, cluster.DeleteNamespace(ctx, podLimit, plan.Condition.Namespace))
	must(t, env.Eventually(ctx, podLimit, "the cluster as it was before", func(ctx context.Context) error {
		after, going, err := inventory(ctx)
		if more, less := missing(before, after), missing(after, before); err == nil && len(more)+len(less)+len(going) > 0 {
			err = fmt.Errorf("left over: %v; lost: %v; being deleted: %v", more, less, going)
		}
		return err
	}))
}

// serves wants a request from outside to be answered by a workload of the mesh.
func serves(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	const space = "e2e-olm"
	must(t, cluster.MakeNamespace(ctx, space, map[string]string{"istio-injection": "enabled"}))
	t.Cleanup(func() {
		if err := cluster.DeleteNamespace(context.Background(), podLimit, space); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	must(t, cluster.Apply(ctx, space, []byte(strings.ReplaceAll(string(data(t, "upgrade/workload.yaml")), "NAME", "app"))))
	must(t, cluster.Apply(ctx, space, []byte(strings.NewReplacer("HOST", fleetHost, "ROUTES", "{destination: {host: app, port: {number: 8080}}}").Replace(string(data(t, "upgrade/routes.yaml"))))))
	must(t, cluster.WaitDeployments(ctx, podLimit, space, "app"))
	address, err := cluster.Address(ctx, changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	sendTo(t, env.Request{URL: "http://" + fleetHost + "/", Address: address + ":80"}, ok)
	must(t, cluster.DeleteNamespace(ctx, podLimit, space))
}

// kinds are those of what OLM makes.
func kinds(t *testing.T) *runtime.Scheme {
	t.Helper()
	out := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensionsv1.AddToScheme, apiv2.AddToScheme} {
		must(t, add(out))
	}
	return out
}

// manifestOf is an object as a file would have it.
func manifestOf(t *testing.T, object client.Object) []byte {
	t.Helper()
	gvk, err := apiutil.GVKForObject(object, kinds(t))
	must(t, err)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	must(t, err)
	content["apiVersion"], content["kind"] = gvk.ToAPIVersionAndKind()
	delete(content, "status")
	text, err := yaml.Marshal(content)
	must(t, err)
	return []byte(strings.NewReplacer("--image-tag="+env.DefaultTag, "--image-tag="+cluster.Tag, "--image-registry="+env.DefaultRegistry, "--image-registry="+cluster.Registry).Replace(string(text)))
}
