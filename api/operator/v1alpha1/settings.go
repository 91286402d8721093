// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// OutboundMode says what a sidecar does with hosts that the mesh does not know.
//
// +kubebuilder:validation:Enum=ALLOW_ANY;ALLOW_ANY_DYNAMIC_DNS;REGISTRY_ONLY
type OutboundMode string

// The outbound modes.
const (
	// AllowAny passes connections to unknown hosts through.
	AllowAny OutboundMode = "ALLOW_ANY"
	// AllowAnyDynamicDNS is AllowAny, but requests go to where the name that
	// they are for leads, whatever address the client dialled.
	AllowAnyDynamicDNS OutboundMode = "ALLOW_ANY_DYNAMIC_DNS"
	// RegistryOnly refuses connections to unknown hosts.
	RegistryOnly OutboundMode = "REGISTRY_ONLY"
)

// MeshConfig holds the settings of the whole mesh, in the words of Istio's. It
// has every field that the control plane reads, and no other.
type MeshConfig struct {
	// trustDomain is the first part of every workload's SPIFFE identity. Not set
	// means cluster.local.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	TrustDomain string `json:"trustDomain,omitempty"`
	// outboundTrafficPolicy says what sidecars do with unknown hosts.
	// +optional
	OutboundTrafficPolicy *OutboundTrafficPolicy `json:"outboundTrafficPolicy,omitempty"`
	// accessLogFile is where proxies write access logs: /dev/stdout, or empty
	// for none.
	// +optional
	// +kubebuilder:validation:Enum="";/dev/stdout
	AccessLogFile *string `json:"accessLogFile,omitempty"`
	// pathNormalization is what proxies make of the path of a request before
	// anything compares it.
	// +optional
	PathNormalization *PathNormalization `json:"pathNormalization,omitempty"`
	// defaultConfig holds for injected proxies where neither a ProxyConfig nor
	// the pod says otherwise.
	// +optional
	DefaultConfig *ProxyDefaults `json:"defaultConfig,omitempty"`
	// discoveryScope is how much of the mesh sidecars hold: on-demand (when not
	// set), which is what their workloads use, or full. The annotation
	// meshwright.dev/discovery-scope of a namespace or a pod goes before it.
	// +optional
	DiscoveryScope DiscoveryScope `json:"discoveryScope,omitempty"`
	// protocolDetectionTimeout is for how long a client's first bytes are waited
	// for on ports that do not say what they carry; 200ms when not set. 0s
	// carries all such ports as bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s))+$`
	ProtocolDetectionTimeout string `json:"protocolDetectionTimeout,omitempty"`

	MeshIngress `json:",inline"`
	MeshClients `json:",inline"`
}

// DiscoveryScope is how much of the mesh a sidecar holds.
// +kubebuilder:validation:Enum=on-demand;full
type DiscoveryScope string

// OutboundTrafficPolicy says what sidecars do with unknown hosts.
type OutboundTrafficPolicy struct {
	// mode is ALLOW_ANY (when not set), ALLOW_ANY_DYNAMIC_DNS or REGISTRY_ONLY.
	// +optional
	Mode OutboundMode `json:"mode,omitempty"`
}

// PathNormalization is what proxies make of paths.
type PathNormalization struct {
	// normalization is NONE, BASE (when not set; also DEFAULT), MERGE_SLASHES or
	// DECODE_AND_MERGE_SLASHES.
	// +optional
	// +kubebuilder:validation:Enum=DEFAULT;NONE;BASE;MERGE_SLASHES;DECODE_AND_MERGE_SLASHES
	Normalization string `json:"normalization,omitempty"`
}

// Platform is a kind of cluster.
//
// +kubebuilder:validation:Enum=aks;eks;gke;k3d;k3s;kind;microk8s;minikube;openshift;plain
type Platform string

// Topology places a mesh among clusters and networks.
type Topology struct {
	// clusterID names this cluster in the mesh. Not set means Kubernetes.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	ClusterID string `json:"clusterID,omitempty"`
	// network names the network of this cluster; workloads of one network reach
	// each other by address. Not set means one network.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	Network string `json:"network,omitempty"`
}

// PullPolicy says when the kubelet pulls an image.
//
// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
type PullPolicy string

// Image says where the images come from.
type Image struct {
	// registry is the prefix of image names. Not set means the registry that the
	// operator was started with.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9.:_/]*[a-zA-Z0-9])?$`
	Registry string `json:"registry,omitempty"`
	// tag is the tag of images. Not set means the version.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][-A-Za-z0-9_.]*$`
	Tag string `json:"tag,omitempty"`
	// digests pin images by what is in them. A digest goes before the tag.
	// +optional
	Digests *Digests `json:"digests,omitempty"`
	// proxy is the whole reference of the image that sidecars run, over the
	// registry, the tag and the digests. Gateways have an image of their own.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9.:_/@]*[a-zA-Z0-9])?$`
	Proxy string `json:"proxy,omitempty"`
	// pullPolicy says when images are pulled. Not set means IfNotPresent.
	// +optional
	PullPolicy PullPolicy `json:"pullPolicy,omitempty"`
	// pullSecrets are names of Secrets, in the namespace of each component and of
	// each injected pod, to pull images with.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	PullSecrets []string `json:"pullSecrets,omitempty"`
}

// Digests pin images by what is in them.
type Digests struct {
	// controlplane is the digest of the control plane's image.
	// +optional
	ControlPlane Digest `json:"controlplane,omitempty"`
	// proxy is the digest of the image of sidecars and gateways.
	// +optional
	Proxy Digest `json:"proxy,omitempty"`
	// cni is the digest of the image of the CNI plugin.
	// +optional
	CNI Digest `json:"cni,omitempty"`
}

// Digest is sha256: and 64 hexadecimal digits.
//
// +kubebuilder:validation:MaxLength=71
// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
type Digest string

// ChartValues are values for the charts, checked against their schemas.
type ChartValues struct {
	// controlplane are values for the chart controlplane.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	ControlPlane *apiextensionsv1.JSON `json:"controlplane,omitempty"`
	// gateway are values for the chart gateway, for every gateway.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Gateway *apiextensionsv1.JSON `json:"gateway,omitempty"`
	// cni are values for the chart cni.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	CNI *apiextensionsv1.JSON `json:"cni,omitempty"`
}

// Overlay changes one rendered object. Exactly one of patch and jsonPatch is
// set. An overlay that matches no rendered object is an error.
//
// +kubebuilder:validation:XValidation:rule="has(self.patch) != has(self.jsonPatch)",message="set exactly one of patch and jsonPatch"
type Overlay struct {
	// kind is the kind of the object, for example Deployment.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// name is the name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// namespace is the namespace of the object. Not set means any.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// patch is a strategic merge patch (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/).
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Patch *apiextensionsv1.JSON `json:"patch,omitempty"`
	// jsonPatch is a list of JSON patch operations (RFC 6902).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	JSONPatch []PatchOperation `json:"jsonPatch,omitempty"`
}

// PatchOperation is one operation of a JSON patch (RFC 6902).
type PatchOperation struct {
	// op is what to do.
	// +kubebuilder:validation:Enum=add;remove;replace;test
	Op string `json:"op"`
	// path is a JSON pointer (RFC 6901) to the field.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path"`
	// value is the value to add, replace or compare with; remove needs none.
	// +optional
	Value *apiextensionsv1.JSON `json:"value,omitempty"`
}
