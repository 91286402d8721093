// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	meshManifest  = "config/samples/meshoperator_demo.yaml"
	operatorChart = "charts/operator"
	imagesDir     = "dist/images"
	shopNamespace = "bookinfo"
	plainSpace    = "bookinfo-plain"
	samples       = "samples/bookinfo/"

	clusterLimit = 40 * time.Minute // a cold start compiles Kubernetes
	imagesLimit  = 20 * time.Minute // and this one everything of ours
	installLimit = 5 * time.Minute
	trafficLimit = 3 * time.Minute
)

func (d *demo) upSteps() []step {
	var steps []step
	if d.local != "" {
		steps = append(steps,
			step{"Local cluster " + d.local, clusterLimit, "the local cluster needs root on Debian; with a cluster of your own set KUBECONFIG and IMAGE_REGISTRY", d.clusterUp},
			step{"Container images", imagesLimit, "compile errors are in the lines above", d.images})
	} else if !d.skipPush {
		steps = append(steps, step{
			"Container images to the registry", imagesLimit,
			"set IMAGE_REGISTRY to a registry that you may push to and the cluster may pull from, and log in to it", d.push,
		})
	}
	return append(steps,
		step{"Operator, as helm install does", installLimit, "kubectl -n meshwright-system describe pods tells more", d.operator},
		step{"Mesh: " + meshManifest, installLimit, "kubectl describe meshoperator, and kubectl -n istio-system get pods, tell more", d.mesh},
		step{"Application: Bookinfo with a proxy in every pod", installLimit, "kubectl -n bookinfo describe pods tells more", d.shop},
		step{"Requests from outside through the ingress gateway", trafficLimit, "kubectl -n istio-system logs deploy/istio-ingressgateway tells more", d.ingress},
		step{"Traffic split: 90 % to v1 of reviews, 10 % to v2", trafficLimit, "kubectl -n bookinfo get virtualservice reviews -o yaml shows the route's status", d.split},
		step{"Header route: v2 for end-user jason, v1 for others", trafficLimit, "kubectl -n bookinfo get virtualservice reviews -o yaml shows the route's status", d.header},
		step{"Mutual TLS: STRICT refuses plaintext", trafficLimit, "kubectl -n bookinfo get peerauthentication -o yaml shows the policy's status", d.strict},
	)
}

func (d *demo) downSteps() []step {
	if d.local != "" {
		return []step{{"Local cluster " + d.local + " down", installLimit, "run it again: it goes on where it stopped", func(ctx context.Context) error {
			return d.command(ctx, "go", "run", "./test/cluster", "down", d.local)
		}}}
	}
	return []step{
		{"Application", installLimit, "kubectl get namespaces shows what keeps them", d.shopDown},
		{"Mesh and operator", installLimit, "kubectl describe meshoperator tells what it waits for", d.meshDown},
	}
}

func (d *demo) clusterUp(ctx context.Context) error {
	return d.command(ctx, "go", "run", "./test/cluster", "up", d.local)
}

// images builds and loads, and notes whether anything changed: pods that run
// an older image of the same tag have to be restarted then.
func (d *demo) images(ctx context.Context) error {
	before := digests()
	if err := d.command(ctx, "go", "run", "./hack/images", "build"); err != nil {
		return err
	}
	d.fresh = digests() != before
	files, err := filepath.Glob(filepath.Join(imagesDir, "*.tar"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no image files in %s (%w)", imagesDir, err)
	}
	return d.command(ctx, "go", append([]string{"run", "./test/cluster", "load-image", d.local}, files...)...)
}

// digests is one text that changes when any image does.
func digests() string {
	files, err := filepath.Glob(filepath.Join(imagesDir, "*.digest"))
	if err != nil {
		return ""
	}
	all := ""
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return ""
		}
		all += string(text)
	}
	return all
}

func (d *demo) push(ctx context.Context) error {
	d.fresh = true
	return d.command(ctx, "go", "run", "./hack/images", "push")
}

func (d *demo) connect() error {
	if d.cluster != nil {
		return nil
	}
	c, err := env.Connect(d.kubeconfig)
	if err != nil {
		return err
	}
	d.cluster = c
	return nil
}

func (d *demo) operator(ctx context.Context) error {
	if err := d.connect(); err != nil {
		return err
	}
	old, err := d.exists(ctx, env.OperatorNamespace, env.OperatorName)
	if err != nil {
		return err
	}
	if err := d.cluster.InstallOperator(ctx, installLimit, operatorChart); err != nil {
		return err
	}
	if !old || !d.fresh {
		return nil
	}
	return d.restart(ctx, env.OperatorNamespace, env.OperatorName)
}

func (d *demo) mesh(ctx context.Context) error {
	old, err := d.exists(ctx, env.MeshNamespace, env.ControlPlane)
	if err != nil {
		return err
	}
	manifest, err := os.ReadFile(meshManifest)
	if err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	name, err := d.cluster.ApplyMesh(ctx, manifest)
	if err != nil {
		return err
	}
	if err := d.waitMesh(ctx, name); err != nil {
		return err
	}
	if !old || !d.fresh {
		return nil
	}
	if err := d.restart(ctx, env.MeshNamespace, env.ControlPlane); err != nil {
		return err
	}
	return d.restart(ctx, env.MeshNamespace, env.IngressGateway, env.EgressGateway)
}

// waitMesh shows each new state of the MeshOperator until it is Ready.
func (d *demo) waitMesh(ctx context.Context, name string) error {
	shown := ""
	return env.Eventually(ctx, installLimit, "MeshOperator "+name+" Ready", func(ctx context.Context) error {
		u, err := d.cluster.Get(ctx, env.MeshOperator, "", name)
		if err != nil {
			return err
		}
		ready, ok := env.ConditionOf(u, "Ready")
		if !ok || !ready.Current {
			return errors.New("the operator has not looked at it yet")
		}
		if text := ready.Reason + ": " + ready.Message; text != shown {
			shown = text
			d.out.detail("Ready=%s %s", ready.Status, text)
		}
		if ready.Status == "True" {
			return nil
		}
		return fmt.Errorf("it is not ready: %s", ready.Message)
	})
}

func (d *demo) exists(ctx context.Context, namespace, deployment string) (bool, error) {
	_, err := d.cluster.Get(ctx, env.Deployment, namespace, deployment)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// restart lets Deployments that ran before take the new images.
func (d *demo) restart(ctx context.Context, namespace string, names ...string) error {
	d.out.detail("the images changed: new pods for %v", names)
	for _, n := range names {
		if err := d.cluster.Restart(ctx, namespace, n); err != nil {
			return err
		}
	}
	return d.cluster.WaitDeployments(ctx, installLimit, namespace, names...)
}

func (d *demo) shopDown(ctx context.Context) error {
	if err := d.connect(); err != nil {
		return err
	}
	for _, ns := range []string{plainSpace, shopNamespace} {
		if err := d.cluster.DeleteNamespace(ctx, installLimit, ns); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) meshDown(ctx context.Context) error {
	manifest, err := os.ReadFile(meshManifest)
	if err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	objects, err := d.cluster.Parse(manifest)
	if err != nil {
		return err
	}
	if err := d.cluster.Delete(ctx, "", manifest); err != nil {
		return err
	}
	for _, u := range objects {
		if err := d.cluster.WaitGone(ctx, installLimit, u.GroupVersionKind(), u.GetNamespace(), u.GetName()); err != nil {
			return err
		}
	}
	if err := d.cluster.WaitNoMesh(ctx, installLimit); err != nil {
		return err
	}
	if err := d.cluster.UninstallOperator(); err != nil {
		return err
	}
	return d.cluster.DeleteNamespace(ctx, installLimit, env.OperatorNamespace)
}
