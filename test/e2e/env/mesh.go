// SPDX-License-Identifier: Apache-2.0

package env

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	IstioOperator  = schema.GroupVersionKind{Group: "install.istio.io", Version: "v1alpha1", Kind: "IstioOperator"}
	VirtualService = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"}
	Gateway        = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"}
	Deployment     = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	Service        = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
	Namespace      = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
)

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

// accountLimit is how long Kubernetes may take to give a namespace its ServiceAccount, also when its controllers have
// just come back.
const accountLimit = 2 * time.Minute

// MakeNamespace makes a namespace with the labels, or adds them, and waits until pods can be made in it.
func (c *Cluster) MakeNamespace(ctx context.Context, name string, labels map[string]string) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(Namespace)
	u.SetName(name)
	u.SetLabels(labels)
	if _, err := c.ApplyObject(ctx, "", u); err != nil {
		return err
	}
	return Eventually(ctx, accountLimit, "the ServiceAccount of namespace "+name, func(ctx context.Context) error {
		_, err := c.Kube.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
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
