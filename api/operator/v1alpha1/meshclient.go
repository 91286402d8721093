// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// IngressMode says which Ingresses of Kubernetes are served.
//
// +kubebuilder:validation:Enum=OFF;STRICT;DEFAULT
type IngressMode string

// H2UpgradePolicy says whether servers of the mesh are called by HTTP/2.
//
// +kubebuilder:validation:Enum=DO_NOT_UPGRADE;UPGRADE
type H2UpgradePolicy string

// MeshIngress says how Ingresses of Kubernetes are served.
type MeshIngress struct {
	// ingressControllerMode is OFF, STRICT (when not set: those of a class of the
	// mesh) or DEFAULT (those without a class, too).
	// +optional
	IngressControllerMode IngressMode `json:"ingressControllerMode,omitempty"`
	// ingressClass is the word of the annotation kubernetes.io/ingress.class. Not
	// set means istio.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	IngressClass string `json:"ingressClass,omitempty"`
	// ingressSelector is the value of the label istio of the gateway's pods. Not
	// set means ingressgateway.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	IngressSelector string `json:"ingressSelector,omitempty"`
	// ingressService is the Service, NAME or NAMESPACE/NAME, whose addresses
	// Ingresses get. Not set means istio-ingressgateway.
	// +optional
	// +kubebuilder:validation:MaxLength=127
	IngressService string `json:"ingressService,omitempty"`
}

// MeshClients says what holds for objects that do not say it themselves.
type MeshClients struct {
	// defaultHttpRetryPolicy is for rules that say nothing of retries. Not set makes
	// two more attempts, only where a request certainly did not reach its server.
	// +optional
	DefaultHTTPRetryPolicy *RetryPolicy `json:"defaultHttpRetryPolicy,omitempty"`
	// defaultRetryBudget bounds the retries of a proxy to a host where no
	// DestinationRule does. Not set means 20 percent, and 10 in any case.
	// +optional
	DefaultRetryBudget *RetryBudget `json:"defaultRetryBudget,omitempty"`
	// connectTimeout is for how long a connection may take to be made. Not set
	// means 10s.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	ConnectTimeout string `json:"connectTimeout,omitempty"`
	// tcpKeepalive probes idle connections to servers. Not set means never.
	// +optional
	TCPKeepalive *TCPKeepalive `json:"tcpKeepalive,omitempty"`
	// h2UpgradePolicy UPGRADE calls servers of the mesh by HTTP/2 on ports that
	// declare HTTP; all of them must have sidecars. Not set means DO_NOT_UPGRADE.
	// +optional
	H2UpgradePolicy H2UpgradePolicy `json:"h2UpgradePolicy,omitempty"`
	// localityLbSetting is which places clients prefer, of hosts with outlier
	// detection: that of a DestinationRule.
	// +optional
	LocalityLBSetting *LocalityLBSetting `json:"localityLbSetting,omitempty"`
	// zoneAwareLbSetting has clients keep their requests in their zone as far as
	// its servers can bear them, of all hosts: that of a DestinationRule.
	// +optional
	ZoneAwareLBSetting *ZoneAwareLBSetting `json:"zoneAwareLbSetting,omitempty"`
	// defaultServiceExportTo is who sees Services and ServiceEntries: namespaces,
	// "." (their own), "*" (all, when not set) or "~" (none).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	DefaultServiceExportTo []string `json:"defaultServiceExportTo,omitempty"`
	// defaultVirtualServiceExportTo is who sees VirtualServices.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	DefaultVirtualServiceExportTo []string `json:"defaultVirtualServiceExportTo,omitempty"`
	// defaultDestinationRuleExportTo is who sees DestinationRules.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	DefaultDestinationRuleExportTo []string `json:"defaultDestinationRuleExportTo,omitempty"`
}

// RetryPolicy says when failed requests are sent again.
type RetryPolicy struct {
	// attempts is how often; 0 is never.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Attempts int32 `json:"attempts,omitempty"`
	// retryOn is conditions of Envoy and status codes, with commas between them.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	RetryOn string `json:"retryOn,omitempty"`
	// retryRemoteLocalities lets other places be tried.
	// +optional
	RetryRemoteLocalities *bool `json:"retryRemoteLocalities,omitempty"`
	// retryIgnorePreviousHosts keeps from hosts that were tried; true when not set.
	// +optional
	RetryIgnorePreviousHosts *bool `json:"retryIgnorePreviousHosts,omitempty"`
	// backoff is the least time before the second attempt.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	Backoff string `json:"backoff,omitempty"`
}

// RetryBudget bounds the retries that are under way.
type RetryBudget struct {
	// percent is of the requests that are under way. Not set means 20.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// minRetryConcurrency is how many are always allowed. Not set means 3.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MinRetryConcurrency int32 `json:"minRetryConcurrency,omitempty"`
	// budgetInterval lets requests count that ended within it.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	BudgetInterval string `json:"budgetInterval,omitempty"`
}

// TCPKeepalive probes idle connections.
type TCPKeepalive struct {
	// probes is how many stay without an answer before a connection is closed.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=127
	Probes int32 `json:"probes,omitempty"`
	// time is for how long a connection is idle before the first probe.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(s|m|h))+$`
	Time string `json:"time,omitempty"`
	// interval is the time between probes.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(s|m|h))+$`
	Interval string `json:"interval,omitempty"`
}
