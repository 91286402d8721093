// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// LocalityLBSetting is which places clients prefer: that of a DestinationRule.
type LocalityLBSetting struct {
	// enabled false lets places not count. Not set means true.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// distribute shares out the requests of some places, in percent.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Distribute []Distribute `json:"distribute,omitempty"`
	// failover says which region takes over from another one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Failover []Failover `json:"failover,omitempty"`
	// failoverPriority are labels by which servers are ranked, the first one
	// counting most: those that have the client's value go before the others.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=512
	FailoverPriority []string `json:"failoverPriority,omitempty"`
}

// ZoneAwareLBSetting has clients balance by zones: that of a DestinationRule.
type ZoneAwareLBSetting struct {
	// enabled switches it on.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// failover says which region takes over from another one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Failover []Failover `json:"failover,omitempty"`
	// failoverPriority are labels by which servers are ranked, the first one
	// counting most.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=512
	FailoverPriority []string `json:"failoverPriority,omitempty"`
	// minClusterSize is how many servers a host must have. Not set means 6.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	MinClusterSize *int64 `json:"minClusterSize,omitempty"`
}

// Distribute shares out the requests of some places.
type Distribute struct {
	// from is the place of the clients: REGION/ZONE/SUBZONE, with * for all.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	From string `json:"from,omitempty"`
	// to are the places of the servers, with the percentages that they get.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	To map[string]Percentage `json:"to,omitempty"`
}

// Percentage is a part of a hundred.
//
// +kubebuilder:validation:Minimum=0
// +kubebuilder:validation:Maximum=100
type Percentage int32

// Failover is the region that takes over from another one.
type Failover struct {
	// from is the region that fails.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	From string `json:"from,omitempty"`
	// to is the region that takes over.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	To string `json:"to,omitempty"`
}
