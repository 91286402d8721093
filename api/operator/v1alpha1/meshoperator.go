// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshOperator is a mesh that a user wants. The operator resolves it (profile,
// then the fields set here) to one MeshRevision, which it installs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mesh,categories=meshwright
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Profile",type=string,JSONPath=`.status.profile`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type MeshOperator struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants.
	// +optional
	Spec MeshOperatorSpec `json:"spec,omitempty"`
	// status is what the operator sees. Its default keeps tools that know kstatus, as Flux, from taking an object that
	// the operator has not seen yet for one that is all right.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status MeshOperatorStatus `json:"status,omitempty"`
}

// MeshOperatorList is a list of MeshOperators.
//
// +kubebuilder:object:root=true
type MeshOperatorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshOperator `json:"items"`
}

// MeshOperatorSpec is what a user wants. No field has a default in the schema,
// so that the operator never writes into a spec that a Git repository owns;
// the operator resolves what is not set from the profile.
//
// +kubebuilder:validation:XValidation:rule="(has(self.revision) ? self.revision : 'default') == (has(oldSelf.revision) ? oldSelf.revision : 'default')",message="revision is immutable; create another MeshOperator for another revision",fieldPath=".revision"
// +kubebuilder:validation:XValidation:rule="(has(self.__namespace__) ? self.__namespace__ : 'istio-system') == (has(oldSelf.__namespace__) ? oldSelf.__namespace__ : 'istio-system')",message="namespace is immutable; delete the MeshOperator and create it again with the other namespace",fieldPath=".namespace"
type MeshOperatorSpec struct {
	// profile is the named set of settings that the fields below change: default,
	// production, preview, openshift, demo, minimal or empty. Not set means default.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Profile string `json:"profile,omitempty"`

	// platform is the kind of cluster, which settles some fields that neither the
	// profile nor this spec says. Not set means what the operator sees.
	// +optional
	Platform Platform `json:"platform,omitempty"`

	// version is the Meshwright version to install, for example v0.1.0. Not set
	// means the operator's own version.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version,omitempty"`

	// revision names the control plane; namespaces choose it with the label
	// istio.io/rev, and the revision default also serves the label
	// istio-injection=enabled. Not set means default. Immutable.
	// +optional
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Revision string `json:"revision,omitempty"`

	// namespace is where the control plane runs and the root namespace of its
	// configuration. It is created if it is missing. Not set means istio-system.
	// Immutable.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('kube-')",message="namespaces that start with kube- belong to Kubernetes"
	Namespace string `json:"namespace,omitempty"`

	// meshConfig holds the settings of the whole mesh.
	// +optional
	MeshConfig *MeshConfig `json:"meshConfig,omitempty"`

	// components holds the Kubernetes settings of the control plane.
	// +optional
	Components *Components `json:"components,omitempty"`

	// gateways are the gateway deployments that the operator installs.
	// +optional
	Gateways *Gateways `json:"gateways,omitempty"`

	// upgradeStrategy says how a change of version or images is carried out.
	// +optional
	UpgradeStrategy *UpgradeStrategy `json:"upgradeStrategy,omitempty"`

	// deletionPolicy says what happens to what users wrote for the mesh when
	// this object is deleted: Retain (when not set) keeps the definitions of the
	// mesh's APIs with all objects of their kinds; Purge deletes them, once no
	// other mesh is left.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// topology places this mesh among clusters and networks.
	// +optional
	Topology *Topology `json:"topology,omitempty"`

	// image says where the images come from.
	// +optional
	Image *Image `json:"image,omitempty"`

	// values are passed to the charts as they are, after everything above, and
	// checked against their schemas.
	// +optional
	Values *ChartValues `json:"values,omitempty"`

	// overlays change rendered objects before they are applied, for what the
	// charts have no value for.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Overlays []Overlay `json:"overlays,omitempty"`
}

// MeshOperatorStatus is what the operator sees.
type MeshOperatorStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// revision is the name of the MeshRevision that serves this mesh.
	// +optional
	Revision string `json:"revision,omitempty"`
	// version is the version that is installed or being installed.
	// +optional
	Version string `json:"version,omitempty"`
	// profile is the profile in effect.
	// +optional
	Profile string `json:"profile,omitempty"`
	// platform is the kind of cluster in effect.
	// +optional
	Platform Platform `json:"platform,omitempty"`
	// gateways are the installed gateways with their addresses.
	// +optional
	// +listType=map
	// +listMapKey=name
	Gateways []GatewayStatus `json:"gateways,omitempty"`
	// upgrade is the upgrade that is under way, or that failed. Not set when the
	// mesh is what the spec asks for.
	// +optional
	Upgrade *UpgradeStatus `json:"upgrade,omitempty"`
	// revisions are the control planes of the mesh, with what is on each.
	// +optional
	// +listType=map
	// +listMapKey=name
	Revisions []RevisionStatus `json:"revisions,omitempty"`
	// history are the identities that were ready, the latest first; at most 5.
	// +optional
	// +listType=atomic
	History []HistoryEntry `json:"history,omitempty"`
	// conditions are Ready, Reconciling and Stalled, each with the generation
	// that it speaks of, and those of the phases of the MeshRevision.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GatewayStatus is what the operator sees of one gateway.
type GatewayStatus struct {
	// name is the name of the gateway's Service and Deployment.
	Name string `json:"name"`
	// namespace is where it runs.
	Namespace string `json:"namespace"`
	// ready is true when all its replicas serve.
	Ready bool `json:"ready"`
	// addresses are the addresses of its Service: those of the load balancer,
	// or none while the cluster has not given any.
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`
}
