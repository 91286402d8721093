// SPDX-License-Identifier: Apache-2.0

package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/meshwright/meshwright/internal/trust"
)

// Names of the injected volumes.
const (
	volumeRun   = "meshwright-run"
	volumeInfo  = "meshwright-podinfo"
	volumeRoot  = "meshwright-ca-root-cert"
	volumeToken = "istio-token"
)

// tokenLife is 12 hours; the kubelet renews the file long before it ends.
const tokenLife = int64(12 * 60 * 60)

func mounts() []corev1.VolumeMount {
	return []corev1.VolumeMount{
		{Name: volumeRun, MountPath: "/var/run/meshwright"},
		{Name: volumeInfo, MountPath: "/etc/meshwright/pod", ReadOnly: true},
		{Name: volumeRoot, MountPath: "/var/run/secrets/meshwright", ReadOnly: true},
		{Name: volumeToken, MountPath: "/var/run/secrets/tokens", ReadOnly: true},
	}
}

func volumes() []corev1.Volume {
	field := func(path string) corev1.DownwardAPIVolumeFile {
		return corev1.DownwardAPIVolumeFile{Path: path, FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata." + path}}
	}
	return []corev1.Volume{
		{Name: volumeRun, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
			// In memory: the bootstrap and a socket, nothing that should reach a disk.
			Medium: corev1.StorageMediumMemory, SizeLimit: new(resource.MustParse("16Mi")),
		}}},
		{Name: volumeInfo, VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
			Items: []corev1.DownwardAPIVolumeFile{field("labels"), field("annotations")},
		}}},
		{Name: volumeRoot, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: trust.ConfigMap},
		}}},
		{Name: volumeToken, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: "istio-ca", ExpirationSeconds: new(tokenLife), Path: "istio-token",
			}}},
		}}},
	}
}
