// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/inject"
	"github.com/meshwright/meshwright/internal/machine"
	"github.com/meshwright/meshwright/internal/machinefile"
	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	machineGroup = "machines"
	machineName  = "machine" // of the pod that plays one, and of what comes with it
)

// machineManifest is a group whose machines serve at the port that the host names.
const machineManifest = `---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines, namespace: e2e-app}
spec:
  metadata: {labels: {app: machine}}
  template: {serviceAccount: server, ports: {http: 8080}}
`

var workloadEntry = env.VirtualService.GroupVersion().WithKind("WorkloadEntry")

// A machine that joins by its group's file has a WorkloadEntry, is called by mutual TLS
// through the host that selects it, and is gone when it has left. A pod plays it that
// nobody injected.
func testMachines(t *testing.T) {
	given(t, machineManifest, object("ServiceEntry", machineName, `
  hosts: [machine.e2e.example]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: machine}}`))
	pod := startMachine(t)
	addr, err := netip.ParseAddr(pod.Status.PodIP)
	must(t, err)
	entry := machine.EntryName(machineGroup, addr, "")
	must(t, env.Eventually(t.Context(), changeLimit, "WorkloadEntry "+entry, func(ctx context.Context) error {
		_, err := cluster.Get(ctx, workloadEntry, appSpace, entry)
		return err
	}))
	r := until(t, "the machine", only(machineName), call, "http://"+pod.Status.PodIP+":8080", "--host=machine.e2e.example", "--count=5")
	e, err := r.Echo()
	must(t, err)
	peer, err := identity(e)
	must(t, err)
	if peer != clientSPIFFE {
		t.Errorf("the machine was called by %q, want %q", peer, clientSPIFFE)
	}
	must(t, cluster.Kube.CoreV1().Pods(appSpace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}))
	must(t, cluster.WaitGone(t.Context(), podLimit, workloadEntry, appSpace, entry))
	r, err = call(t.Context(), "http://"+pod.Status.PodIP+":8080", "--host=machine.e2e.example")
	must(t, err)
	if r.Codes["503"] != 1 {
		t.Errorf("without a machine: %s", r)
	}
}

// startMachine runs the agent as a machine does, in a pod that the mesh leaves alone.
func startMachine(t *testing.T) *corev1.Pod {
	t.Helper()
	like, err := cluster.PodOf(t.Context(), appSpace, "app=client")
	must(t, err)
	pod, settings, err := machineLike(like)
	must(t, err)
	pods, maps := cluster.Kube.CoreV1().Pods(appSpace), cluster.Kube.CoreV1().ConfigMaps(appSpace)
	t.Cleanup(func() {
		now := int64(0)
		_ = pods.Delete(context.Background(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		_ = maps.Delete(context.Background(), settings.Name, metav1.DeleteOptions{})
	})
	_, err = maps.Create(t.Context(), settings, metav1.CreateOptions{})
	must(t, err)
	_, err = pods.Create(t.Context(), pod, metav1.CreateOptions{})
	must(t, err)
	var ready *corev1.Pod
	must(t, env.Eventually(t.Context(), podLimit, "the pod that plays a machine", func(ctx context.Context) (err error) {
		ready, err = cluster.PodOf(ctx, appSpace, "app=plays-machine")
		return err
	}))
	return ready
}

// machineLike is a machine by the images and the mesh of an injected pod, and the file by
// which it joins.
func machineLike(like *corev1.Pod) (*corev1.Pod, *corev1.ConfigMap, error) {
	proxy, ok := env.Sidecar(like)
	redirect := slices.IndexFunc(like.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == inject.InitContainer })
	echo := slices.IndexFunc(like.Spec.Containers, func(c corev1.Container) bool { return c.Name == "echo" })
	if !ok || redirect < 0 || echo < 0 {
		return nil, nil, fmt.Errorf("pod %s has no sidecar", like.Name)
	}
	flag := func(name string) string {
		for _, arg := range proxy.Args {
			if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
				return value
			}
		}
		return ""
	}
	file, err := machinefile.Make([]byte(machineManifest), machinefile.Mesh{
		DiscoveryAddress: flag("discovery-address"), TrustDomain: flag("trust-domain"),
		ClusterID: flag("cluster-id"), ClusterDomain: flag("cluster-domain"),
	})
	if err != nil {
		return nil, nil, err
	}
	meta := metav1.ObjectMeta{Name: machineName, Labels: map[string]string{"app": "plays-machine", "sidecar.istio.io/inject": "false"}}
	settings := &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"machine.yaml": string(file)}}
	const config = "machine"
	volumes := []corev1.Volume{{Name: config, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: settings.Name},
	}}}}
	mounts := []corev1.VolumeMount{{Name: config, MountPath: "/etc/machine", ReadOnly: true}}
	for _, v := range like.Spec.Volumes {
		// Where the agent writes, the mesh's roots, and a token of the pod's account.
		if v.EmptyDir == nil && v.Projected == nil && v.ConfigMap == nil {
			continue
		}
		for _, m := range proxy.VolumeMounts {
			if m.Name == v.Name && m.MountPath != "/var/run/secrets/kubernetes.io/serviceaccount" {
				volumes, mounts = append(volumes, v), append(mounts, m)
			}
		}
	}
	if len(mounts) != 4 {
		return nil, nil, errors.New("the sidecar does not have the three volumes that a machine needs")
	}
	proxy.Name, proxy.RestartPolicy, proxy.Env, proxy.VolumeMounts = "agent", nil, nil, mounts
	proxy.Args = []string{
		"machine", "--config=/etc/machine/machine.yaml", "--token-file=/var/run/secrets/tokens/istio-token",
		"--root-file=/var/run/secrets/meshwright/root-cert.pem", "--drain-duration=5s",
	}
	first, app := like.Spec.InitContainers[redirect], like.Spec.Containers[echo]
	first.VolumeMounts = nil
	return &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		ServiceAccountName: "server", Volumes: volumes, InitContainers: []corev1.Container{first},
		Containers: []corev1.Container{proxy, {
			Name: app.Name, Image: app.Image, ImagePullPolicy: app.ImagePullPolicy, Args: []string{"server", "--version=" + machineName},
		}},
	}}, settings, nil
}
