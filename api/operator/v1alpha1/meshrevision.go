// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshRevision is one installed control plane: the charts to render and the
// values to render them with. The operator writes it from a MeshOperator. The one
// that is called as the mesh's revision also holds what stays when control
// planes are replaced: CRDs, webhooks, gateways.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=meshrev,categories=meshwright
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.namespace`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type MeshRevision struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what to install.
	Spec MeshRevisionSpec `json:"spec"`
	// status is what the operator sees. Its default keeps tools that know kstatus, as Flux, from taking an object that
	// the operator has not seen yet for one that is all right.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status MeshRevisionStatus `json:"status,omitempty"`
}

// MeshRevisionList is a list of MeshRevisions.
//
// +kubebuilder:object:root=true
type MeshRevisionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshRevision `json:"items"`
}

// MeshRevisionSpec is what to install.
type MeshRevisionSpec struct {
	// version is the Meshwright version of the charts and images.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version"`
	// namespace is where the control plane runs.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="namespace is immutable"
	Namespace string `json:"namespace"`
	// identity is what the control plane of this revision is. Not set when it has
	// none.
	// +optional
	Identity *Identity `json:"identity,omitempty"`
	// front says where the mesh's name leads. Only the MeshRevision that is called
	// as the mesh's revision has it.
	// +optional
	Front *Front `json:"front,omitempty"`
	// components are the charts to render.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=130
	Components []Component `json:"components,omitempty"`
	// deletionPolicy is that of the MeshOperator.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// overlays change rendered objects before they are applied.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Overlays []Overlay `json:"overlays,omitempty"`
}

// Front says which control planes stand behind a mesh's name.
type Front struct {
	// entry is the revision whose control plane is asked.
	// +kubebuilder:validation:MaxLength=63
	Entry string `json:"entry"`
	// move says which workloads belong to another revision already.
	// +optional
	Move *Move `json:"move,omitempty"`
	// gateways is what the gateways are.
	Gateways GatewaysFront `json:"gateways"`
}

// Move says which workloads belong to another revision than the entry: those up
// to a place, and all of some namespaces.
type Move struct {
	// revision is where they belong.
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision"`
	// upTo is the highest place of a workload that belongs there, as 16 hex
	// digits: the first 8 bytes of the SHA-256 of NAMESPACE/KIND/NAME.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	UpTo string `json:"upTo,omitempty"`
	// namespaces select the namespaces whose workloads all belong there.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Namespaces []metav1.LabelSelector `json:"namespaces,omitempty"`
}

// GatewaysFront is what the gateways of a mesh are.
type GatewaysFront struct {
	// revision is the control plane that they ask.
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision"`
	// identity is what they are.
	Identity Identity `json:"identity"`
}

// DeletionPolicy says what happens to what users wrote for a mesh when the mesh
// is deleted.
//
// +kubebuilder:validation:Enum=Retain;Purge
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionRetain keeps the definitions of the mesh's APIs, and the objects.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionPurge deletes them.
	DeletionPurge DeletionPolicy = "Purge"
)

// Chart is the name of a chart that the operator carries.
type Chart string

// The charts that the operator carries.
const (
	// ChartBase holds the CRDs of the APIs that the control plane reads.
	ChartBase Chart = "base"
	// ChartControlPlane is the control plane.
	ChartControlPlane Chart = "controlplane"
	// ChartCNI is the CNI plugin on every node.
	ChartCNI Chart = "cni"
	// ChartGateway is one gateway.
	ChartGateway Chart = "gateway"
)

// Component is one chart to render.
type Component struct {
	// name is the name of the component: base, cni, controlplane, or the gateway's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// chart is the chart to render: base, cni, controlplane or gateway.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Chart Chart `json:"chart"`
	// namespace is where its objects go.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// values are the chart's values.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// MeshRevisionStatus is what the operator sees.
type MeshRevisionStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// inventory lists every object that the operator applied for this revision
	// or was about to apply. What is here and no longer rendered is deleted.
	// +optional
	// +listType=atomic
	Inventory []InventoryEntry `json:"inventory,omitempty"`
	// gateways are the installed gateways with their addresses.
	// +optional
	// +listType=map
	// +listMapKey=name
	Gateways []GatewayStatus `json:"gateways,omitempty"`
	// conditions are Ready, Reconciling, Stalled and one for each phase.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InventoryEntry names one applied object.
type InventoryEntry struct {
	// group is the API group; empty means core.
	// +optional
	Group string `json:"group,omitempty"`
	// version is the API version.
	Version string `json:"version"`
	// kind is the kind.
	Kind string `json:"kind"`
	// namespace is empty for objects of the cluster.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// name is the name.
	Name string `json:"name"`
	// digest is the SHA-256 of the manifest that was applied last, in short
	// form; empty means that it was not applied yet.
	// +optional
	Digest string `json:"digest,omitempty"`
}
