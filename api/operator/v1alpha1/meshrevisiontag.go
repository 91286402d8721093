// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshRevisionTag lets namespaces say a name of their own instead of a
// revision's: those with the label istio.io/rev=TAG are served by the revision
// that the tag names. The tag default also serves istio-injection=enabled.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=meshtag,categories=meshwright
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Answers",type=string,JSONPath=`.status.revision`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name is what namespaces say in istio.io/rev: at most 40 lower-case letters, digits and dashes"
type MeshRevisionTag struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which revision the tag stands for.
	Spec MeshRevisionTagSpec `json:"spec"`
	// status is what the operator sees. Its default keeps tools that know kstatus, as Flux, from taking an object that
	// the operator has not seen yet for one that is all right.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status MeshRevisionTagStatus `json:"status,omitempty"`
}

// MeshRevisionTagList is a list of MeshRevisionTags.
//
// +kubebuilder:object:root=true
type MeshRevisionTagList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshRevisionTag `json:"items"`
}

// MeshRevisionTagSpec says which revision a tag stands for.
type MeshRevisionTagSpec struct {
	// revision is that of a MeshOperator, whose upgrades the tag then follows
	// workload by workload, or the name of a MeshRevision.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Revision string `json:"revision"`
}

// MeshRevisionTagStatus is what the operator sees.
type MeshRevisionTagStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// revision is the MeshRevision whose control plane is asked.
	// +optional
	Revision string `json:"revision,omitempty"`
	// conditions are Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
