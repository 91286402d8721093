// SPDX-License-Identifier: Apache-2.0

package env

import (
	"context"
	"errors"
	"fmt"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Names of what the operator's chart and a MeshOperator install.
const (
	OperatorNamespace = "meshwright-system"
	OperatorName      = "meshwright-operator"
	OperatorRelease   = "meshwright"
	MeshNamespace     = "istio-system"
	ControlPlane      = "meshwright"
	IngressGateway    = "istio-ingressgateway"
	EgressGateway     = "istio-egressgateway"
)

// Kinds that tests and the demo name often.
var (
	MeshOperator   = schema.GroupVersionKind{Group: "operator.meshwright.dev", Version: "v1alpha1", Kind: "MeshOperator"}
	MeshRevision   = schema.GroupVersionKind{Group: "operator.meshwright.dev", Version: "v1alpha1", Kind: "MeshRevision"}
	VirtualService = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"}
	Gateway        = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"}
	Deployment     = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	Service        = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
	Namespace      = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
)

// InstallOperator installs the operator's chart as `helm install` does, or
// upgrades the release that is there, and waits until it runs.
func (c *Cluster) InstallOperator(ctx context.Context, limit time.Duration, chartDir string) error {
	config, err := c.helm()
	if err != nil {
		return err
	}
	chart, err := loader.Load(chartDir)
	if err != nil {
		return fmt.Errorf("load the chart %s: %w", chartDir, err)
	}
	values := map[string]any{"image": map[string]any{"registry": c.Registry, "tag": c.Tag}}
	fresh, err := settle(config)
	if err != nil {
		return err
	}
	if fresh {
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace, install.CreateNamespace = OperatorRelease, OperatorNamespace, true
		_, err = install.RunWithContext(ctx, chart, values)
	} else {
		upgrade := action.NewUpgrade(config)
		upgrade.Namespace, upgrade.MaxHistory = OperatorNamespace, 3
		_, err = upgrade.RunWithContext(ctx, OperatorRelease, chart, values)
	}
	if err != nil {
		return fmt.Errorf("install the operator: %w", err)
	}
	return c.WaitDeployments(ctx, limit, OperatorNamespace, OperatorName)
}

// settle tells whether the operator's release has to be installed anew. What an
// interrupted or failed run left is cleared away, for helm refuses to go on
// from there by itself.
func settle(config *action.Configuration) (fresh bool, err error) {
	releases, err := action.NewHistory(config).Run(OperatorRelease)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up the operator's release: %w", err)
	}
	deployed, pending := false, false
	for _, r := range releases {
		deployed = deployed || r.Info.Status == release.StatusDeployed || r.Info.Status == release.StatusSuperseded
		pending = pending || r.Info.Status.IsPending()
	}
	switch {
	case !deployed:
		if _, err := action.NewUninstall(config).Run(OperatorRelease); err != nil {
			return false, fmt.Errorf("clear away a failed installation of the operator: %w", err)
		}
		return true, nil
	case pending:
		if err := action.NewRollback(config).Run(OperatorRelease); err != nil {
			return false, fmt.Errorf("clear away an interrupted upgrade of the operator: %w", err)
		}
	}
	return false, nil
}

// UninstallOperator removes the release; one that is not there is fine.
func (c *Cluster) UninstallOperator() error {
	config, err := c.helm()
	if err != nil {
		return err
	}
	if _, err := action.NewUninstall(config).Run(OperatorRelease); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("uninstall the operator: %w", err)
	}
	return nil
}

func (c *Cluster) helm() (*action.Configuration, error) {
	settings := cli.New()
	settings.KubeConfig = c.Kubeconfig
	settings.SetNamespace(OperatorNamespace)
	config := new(action.Configuration)
	if err := config.Init(settings.RESTClientGetter(), OperatorNamespace, "secret", func(string, ...any) {}); err != nil {
		return nil, fmt.Errorf("prepare helm: %w", err)
	}
	return config, nil
}

// ApplyMesh applies a file with one MeshOperator, pointed at the images of
// this build where it names none, and returns the object's name.
func (c *Cluster) ApplyMesh(ctx context.Context, manifest []byte) (string, error) {
	objects, err := c.Parse(manifest)
	if err != nil {
		return "", err
	}
	for _, u := range objects {
		if u.GetKind() != MeshOperator.Kind {
			continue
		}
		for field, value := range map[string]string{"registry": c.Registry, "tag": c.Tag} {
			if _, set, _ := unstructured.NestedString(u.Object, "spec", "image", field); set {
				continue
			}
			if err := unstructured.SetNestedField(u.Object, value, "spec", "image", field); err != nil {
				return "", fmt.Errorf("set the image's %s: %w", field, err)
			}
		}
		if _, err := c.ApplyObject(ctx, "", u); err != nil {
			return "", err
		}
		return u.GetName(), nil
	}
	return "", errors.New("the manifest holds no MeshOperator")
}

// WaitMesh waits until the MeshOperator is Ready.
func (c *Cluster) WaitMesh(ctx context.Context, limit time.Duration, name string) (Condition, error) {
	return c.WaitCondition(ctx, limit, MeshOperator, "", name, "Ready", "True")
}

// WaitNoMesh waits until all that was installed for MeshOperators is gone.
func (c *Cluster) WaitNoMesh(ctx context.Context, limit time.Duration) error {
	return Eventually(ctx, limit, "every mesh removed", func(ctx context.Context) error {
		r, err := c.Resource(ctx, MeshRevision, "")
		if notServed(err) {
			return nil
		}
		if err != nil {
			return err
		}
		list, err := r.List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			return err
		}
		found, _ := ConditionOf(&list.Items[0], "Ready")
		return fmt.Errorf("MeshRevision %s is still there: %s", list.Items[0].GetName(), found.Message)
	})
}

// MakeNamespace makes a namespace with the labels, or adds them.
func (c *Cluster) MakeNamespace(ctx context.Context, name string, labels map[string]string) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(Namespace)
	u.SetName(name)
	u.SetLabels(labels)
	_, err := c.ApplyObject(ctx, "", u)
	return err
}

// DeleteNamespace deletes a namespace and waits until it has gone.
func (c *Cluster) DeleteNamespace(ctx context.Context, limit time.Duration, name string) error {
	if err := c.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the namespace %s: %w", name, err)
	}
	return c.WaitGone(ctx, limit, Namespace, "", name)
}

// Restart does what `kubectl rollout restart` does.
func (c *Cluster) Restart(ctx context.Context, namespace, deployment string) error {
	d, err := c.Kube.AppsV1().Deployments(namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read Deployment %s: %w", deployment, err)
	}
	if d.Spec.Template.Annotations == nil {
		d.Spec.Template.Annotations = map[string]string{}
	}
	d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] = time.Now().Format(time.RFC3339Nano)
	if _, err := c.Kube.AppsV1().Deployments(namespace).Update(ctx, d, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("restart Deployment %s: %w", deployment, err)
	}
	return nil
}

// Scale sets a Deployment's replicas.
func (c *Cluster) Scale(ctx context.Context, namespace, deployment string, replicas int32) error {
	s, err := c.Kube.AppsV1().Deployments(namespace).GetScale(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the scale of Deployment %s: %w", deployment, err)
	}
	s.Spec.Replicas = replicas
	if _, err := c.Kube.AppsV1().Deployments(namespace).UpdateScale(ctx, deployment, s, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("scale Deployment %s: %w", deployment, err)
	}
	return nil
}

// KillPods deletes the pods with the labels at once, without their grace
// period, and returns how many there were.
func (c *Cluster) KillPods(ctx context.Context, namespace, selector string) (int, error) {
	pods, err := c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return 0, fmt.Errorf("list the pods %s in %s: %w", selector, namespace, err)
	}
	now := int64(0)
	for _, p := range pods.Items {
		err := c.Kube.CoreV1().Pods(namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		if err != nil && !apierrors.IsNotFound(err) {
			return 0, fmt.Errorf("kill pod %s: %w", p.Name, err)
		}
	}
	return len(pods.Items), nil
}

// Sidecar finds the proxy among a pod's init containers.
func Sidecar(p *corev1.Pod) (corev1.Container, bool) {
	for _, c := range p.Spec.InitContainers {
		if c.Name == "istio-proxy" {
			return c, true
		}
	}
	return corev1.Container{}, false
}
