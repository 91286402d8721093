// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// IstioOperator is a mesh as Istio's installer describes it. The operator
// converts it to a MeshOperator and lists what it cannot convert in the status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=istiooperators,singular=istiooperator,scope=Namespaced,shortName=iop;io
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="MeshOperator",type=string,JSONPath=`.status.meshOperator`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type IstioOperator struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants.
	// +optional
	Spec IstioOperatorSpec `json:"spec,omitempty"`
	// status is what the operator sees. Its default keeps tools that know kstatus, as Flux, from taking an object that
	// the operator has not seen yet for one that is all right.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status IstioOperatorStatus `json:"status,omitempty"`
}

// IstioOperatorList is a list of IstioOperators.
//
// +kubebuilder:object:root=true
type IstioOperatorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IstioOperator `json:"items"`
}

// IstioOperatorSpec is what the user wants. Everything below the fields that
// are named here is open, and unknown fields stay.
//
// +kubebuilder:pruning:PreserveUnknownFields
type IstioOperatorSpec struct {
	// profile is the named set of settings that the fields below change. Not set
	// means default.
	// +optional
	Profile string `json:"profile,omitempty"`
	// hub is the registry of images.
	// +optional
	Hub string `json:"hub,omitempty"`
	// tag is the tag of images, text or number.
	// +optional
	Tag *intstr.IntOrString `json:"tag,omitempty"`
	// namespace is where the control plane runs. Not set means the namespace of
	// this object.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// revision names the control plane.
	// +optional
	Revision string `json:"revision,omitempty"`
	// compatibilityVersion has no meaning here; it is listed in the status.
	// +optional
	CompatibilityVersion string `json:"compatibilityVersion,omitempty"`
	// installPackagePath has no meaning here; it is listed in the status.
	// +optional
	InstallPackagePath string `json:"installPackagePath,omitempty"`
	// meshConfig holds the settings of the whole mesh.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	MeshConfig *apiextensionsv1.JSON `json:"meshConfig,omitempty"`
	// components are the parts of the mesh and their Kubernetes settings.
	// +optional
	Components *IstioComponents `json:"components,omitempty"`
	// values are values for Istio's charts.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
	// unvalidatedValues have no meaning here; they are listed in the status.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	UnvalidatedValues *apiextensionsv1.JSON `json:"unvalidatedValues,omitempty"`
}

// IstioComponents are the parts of the mesh.
//
// +kubebuilder:pruning:PreserveUnknownFields
type IstioComponents struct {
	// base are the CRDs.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Base *apiextensionsv1.JSON `json:"base,omitempty"`
	// pilot is the control plane.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Pilot *apiextensionsv1.JSON `json:"pilot,omitempty"`
	// cni is the CNI plugin.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	CNI *apiextensionsv1.JSON `json:"cni,omitempty"`
	// ztunnel is the node proxy of ambient meshes.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Ztunnel *apiextensionsv1.JSON `json:"ztunnel,omitempty"`
	// istiodRemote is a control plane elsewhere.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	IstiodRemote *apiextensionsv1.JSON `json:"istiodRemote,omitempty"`
	// ingressGateways replace those of the profile.
	// +optional
	// +listType=atomic
	IngressGateways []GatewayComponent `json:"ingressGateways,omitempty"`
	// egressGateways replace those of the profile.
	// +optional
	// +listType=atomic
	EgressGateways []GatewayComponent `json:"egressGateways,omitempty"`
}

// GatewayComponent is one gateway.
//
// +kubebuilder:pruning:PreserveUnknownFields
type GatewayComponent struct {
	// name is the name of the Deployment and the Service.
	// +optional
	Name string `json:"name,omitempty"`
	// enabled says whether it is installed. Not set means true.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// namespace is where it runs.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// label are more labels of the pods.
	// +optional
	Label map[string]string `json:"label,omitempty"`
	// k8s are the Kubernetes settings.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	K8s *apiextensionsv1.JSON `json:"k8s,omitempty"`
}

// Health is the state of the mesh in the words of Istio's operator, which Argo
// CD and others read.
type Health string

// The states of a mesh.
const (
	// Healthy says that everything serves.
	Healthy Health = "HEALTHY"
	// Reconciling says that the operator is working, or waits.
	Reconciling Health = "RECONCILING"
	// Failed says that nothing changes without a user.
	Failed Health = "ERROR"
)

// IstioOperatorStatus is what the operator sees.
type IstioOperatorStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// meshOperator is the name of the MeshOperator that this object became.
	// +optional
	MeshOperator string `json:"meshOperator,omitempty"`
	// status is HEALTHY, RECONCILING or ERROR: the conditions in one word.
	// +optional
	Status Health `json:"status,omitempty"`
	// unmapped lists the fields of the spec that have no effect.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Unmapped []UnmappedField `json:"unmapped,omitempty"`
	// conditions are Ready, Reconciling and Stalled, each with the generation
	// that it speaks of.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// UnmappedField is a field of the spec that has no effect.
type UnmappedField struct {
	// path is the field, from spec on.
	Path string `json:"path"`
	// reason says why, and what to do instead.
	Reason string `json:"reason"`
}
