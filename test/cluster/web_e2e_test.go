// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/meshwright/meshwright/test/cluster/binary"
	"github.com/meshwright/meshwright/test/cluster/image"
	"github.com/meshwright/meshwright/test/cluster/node"
)

// web is an application in a cluster, reached in every way there is.
type web struct {
	pod               corev1.Pod
	service, balancer string
}

// webImage is nowhere but in the tarball that a test makes.
const webImage = "meshwright.local/web:e2e"

// deployWeb runs a small HTTP server, CoreDNS with its health plugin, from an
// image that is built and loaded as users do it.
func deployWeb(r *rig, cluster string, client kubernetes.Interface) web {
	r.Helper()
	ctx := context.Background()
	source, err := sourceDir()
	if err != nil {
		r.Fatal(err)
	}
	cache, err := binary.Open(source, io.Discard)
	if err != nil {
		r.Fatal(err)
	}
	tarball := filepath.Join(r.TempDir(), "web.tar")
	if err := image.Write(image.Program{Tag: webImage, File: cache.Path("coredns"), User: "65532"}, tarball); err != nil {
		r.Fatal(err)
	}
	r.must("load-image", cluster, tarball)
	meta := metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web"}}
	config := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"Corefile": ".:5353 {\n whoami\n health :8080\n}\n"}}
	if _, err := client.CoreV1().ConfigMaps("default").Create(ctx, config, metav1.CreateOptions{}); err != nil {
		r.Fatal(err)
	}
	replicas := int32(2)
	deployment := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: meta.Labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "web", Image: webImage, Args: []string{"-conf", "/etc/web/Corefile"},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
					HTTPGet: &corev1.HTTPGetAction{Path: "/health", Port: intstr.FromInt32(8080)},
				}},
				VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/web"}},
			}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "web"}},
			}}},
		}},
	}}
	if _, err := client.AppsV1().Deployments("default").Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
		r.Fatal(err)
	}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: meta.Labels,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}}
	if _, err := client.CoreV1().Services("default").Create(ctx, service, metav1.CreateOptions{}); err != nil {
		r.Fatal(err)
	}
	var w web
	r.eventually("the application", func() error { return w.find(ctx, client, int(replicas)) })
	return w
}

// find fills in what the cluster gave the application.
func (w *web) find(ctx context.Context, client kubernetes.Interface, replicas int) error {
	pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil {
		return err
	}
	ready := 0
	for _, p := range pods.Items {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready++
				w.pod = p
			}
		}
	}
	if ready != replicas {
		return fmt.Errorf("%d of %d pods are ready", ready, replicas)
	}
	service, err := client.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if len(service.Status.LoadBalancer.Ingress) != 1 {
		return fmt.Errorf("the service has no load balancer address")
	}
	w.service, w.balancer = service.Spec.ClusterIP, service.Status.LoadBalancer.Ingress[0].IP
	return nil
}

// checkLogsAndExec uses the two ways from the API server into a pod.
func checkLogsAndExec(r *rig, l node.Layout, client *kubernetes.Clientset, pod corev1.Pod) {
	r.Helper()
	ctx := context.Background()
	logs, err := client.CoreV1().Pods("default").GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil || !strings.Contains(string(logs), "CoreDNS") {
		r.Errorf("the pod's log is %q (%v)", logs, err)
	}
	request := client.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: []string{"coredns", "-version"}, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	config, err := l.Client()
	if err != nil {
		r.Fatal(err)
	}
	executor, err := remotecommand.NewSPDYExecutor(config, "POST", request.URL())
	if err != nil {
		r.Fatal(err)
	}
	// Tried again: containerd 1.6 now and then loses what a program printed
	// that ended at once.
	r.eventually("a program in the pod", func() error {
		var out bytes.Buffer
		err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &out})
		if err == nil && !strings.Contains(out.String(), "CoreDNS-") {
			err = fmt.Errorf("it printed %q", out.String())
		}
		return err
	})
}

// checkFromHost reaches the application from the host in every way.
func checkFromHost(r *rig, cluster string, w web) {
	r.Helper()
	for what, address := range map[string]string{
		"service": w.service + ":80", "load balancer": w.balancer + ":80", "pod": w.pod.Status.PodIP + ":8080",
	} {
		r.eventually(fmt.Sprintf("%s of %s from the host", what, cluster), func() error {
			_, err := get("http://" + address + "/health")
			return err
		})
	}
	if _, err := get("http://" + w.balancer + ":81/"); err == nil || !strings.Contains(err.Error(), "refused") {
		r.Errorf("a port of %s that nobody serves: %v, want it refused", cluster, err)
	}
}
