// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// CNI is the CNI plugin on every node. A cluster has one for all its meshes.
type CNI struct {
	// enabled says whether the plugin is installed, and pods are injected for it.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// namespace is where the DaemonSet runs; its pods use the nodes' network and
	// directories. Not set means the control plane's namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`
	// cniBinDir is where the container runtime of the nodes looks for plugins. Not
	// set means /opt/cni/bin, or what the platform has.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^/`
	BinDir string `json:"cniBinDir,omitempty"`
	// cniConfDir is where it looks for their configuration. Not set means
	// /etc/cni/net.d, or what the platform has.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^/`
	ConfDir string `json:"cniConfDir,omitempty"`
	// chained puts the plugin at the end of the cluster's list of plugins; false
	// gives it a file of its own, for who calls it by its name. Not set means true.
	// +optional
	Chained *bool `json:"chained,omitempty"`
	// excludeNamespaces are those, besides its own, whose pods are left alone
	// without a question. Not set means kube-system.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	ExcludeNamespaces []string `json:"excludeNamespaces,omitempty"`
	// repair deletes pods that started before the plugin was on their node.
	// +optional
	Repair *CNIRepair `json:"repair,omitempty"`
	// resources are the requests and limits of the container.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// nodeSelector restricts the nodes.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations allow nodes with taints. Not set allows all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// podAnnotations are added to the pods.
	// +optional
	PodAnnotations map[string]string `json:"podAnnotations,omitempty"`
	// podLabels are added to the pods.
	// +optional
	PodLabels map[string]string `json:"podLabels,omitempty"`
	// env are more environment variables of the container.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Env []corev1.EnvVar `json:"env,omitempty"`
	// priorityClassName is the priority of the pods. Not set means
	// system-node-critical.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// strategy says how pods are replaced. Not set replaces those of a tenth of the
	// nodes at a time.
	// +optional
	Strategy *appsv1.DaemonSetUpdateStrategy `json:"strategy,omitempty"`
	// image is the whole reference of the container's image, over the registry,
	// the tag and the digests of spec.image.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9.:_/@]*[a-zA-Z0-9])?$`
	Image string `json:"image,omitempty"`
}

// CNIRepair deletes pods that started before the plugin was on their node.
type CNIRepair struct {
	// enabled switches it on or off. Not set means true.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
}
