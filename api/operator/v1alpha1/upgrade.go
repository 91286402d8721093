// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// UpgradeType says how a change of the control plane's identity is carried out.
//
// +kubebuilder:validation:Enum=InPlace;Canary
type UpgradeType string

// The ways to upgrade.
const (
	// InPlace replaces the control plane, then the gateways, by rolling updates.
	// Sidecars stay as they are until their pods are started again.
	InPlace UpgradeType = "InPlace"
	// Canary installs the new control plane beside the old one, restarts the
	// workloads in steps, then upgrades the gateways.
	Canary UpgradeType = "Canary"
)

// UpgradeStrategy says how a change of version, or of where images come from,
// is carried out. What does not become ready in time is undone.
//
// +kubebuilder:validation:XValidation:rule="!has(self.canary) || has(self.type) && self.type == 'Canary'",message="is of the type Canary only; set type: Canary, or remove it",fieldPath=".canary"
type UpgradeStrategy struct {
	// type is InPlace (when not set) or Canary.
	// +optional
	Type UpgradeType `json:"type,omitempty"`
	// paused holds an upgrade where it is: what was begun ends, nothing else
	// begins.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// progressDeadlineSeconds is how long the new control plane, the workloads
	// that are restarted, or the gateways may take to become ready before the
	// upgrade is undone. Not set means 600.
	// +optional
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=86400
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`
	// canary are the steps of the type Canary.
	// +optional
	Canary *CanaryStrategy `json:"canary,omitempty"`
}

// CanaryStrategy says in which steps workloads are moved to a new control plane.
type CanaryStrategy struct {
	// steps are taken one after the other. What a step has moved the next ones
	// do not move back. Not set means 10, 50 and 100 percent.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Steps []CanaryStep `json:"steps,omitempty"`
	// maxUnavailable is how many workloads are restarted at a time, as a number
	// or as a percentage of all, rounded down but at least one. Not set means 10%.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self > 0 : self.matches('^[1-9][0-9]?%$|^100%$')",message="must be a number of at least 1, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// analysis is what must hold after each step.
	// +optional
	Analysis *Analysis `json:"analysis,omitempty"`
	// gracePeriodSeconds is how long the old control plane stays after its last
	// pod is gone. Not set means 30.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	GracePeriodSeconds *int32 `json:"gracePeriodSeconds,omitempty"`
	// promote names the revision (status.upgrade.to) that takes all remaining
	// steps at once, without waiting for the analysis.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Promote string `json:"promote,omitempty"`
	// abort names the revision (status.upgrade.to) that is given up: its
	// workloads go back. Another change of the version begins anew.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Abort string `json:"abort,omitempty"`
}

// CanaryStep moves more workloads to the new control plane.
//
// +kubebuilder:validation:XValidation:rule="has(self.percent) != has(self.namespaces)",message="set exactly one of percent and namespaces"
type CanaryStep struct {
	// percent is how many of all workloads are moved after this step.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// namespaces moves all workloads of the namespaces with these labels.
	// +optional
	Namespaces *metav1.LabelSelector `json:"namespaces,omitempty"`
	// soakSeconds is how long the analysis must find all well before the next
	// step. Not set means 60.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	SoakSeconds *int32 `json:"soakSeconds,omitempty"`
}

// Analysis is what must hold after a step, besides what always must: pods are
// ready, and no proxy refuses what the new control plane sends.
type Analysis struct {
	// prometheus is asked whether traffic is well.
	// +optional
	Prometheus *PrometheusAnalysis `json:"prometheus,omitempty"`
}

// PrometheusAnalysis asks a server that speaks Prometheus' HTTP API
// (https://prometheus.io/docs/prometheus/latest/querying/api/).
type PrometheusAnalysis struct {
	// address is the server's URL.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[^\s]+$`
	Address string `json:"address"`
	// queries are asked every 10 seconds while a step soaks.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Queries []PrometheusQuery `json:"queries"`
}

// PrometheusQuery is one number that must stay within bounds. A query without
// a result holds the step: write "or vector(0)" where no traffic is no reason.
//
// +kubebuilder:validation:XValidation:rule="has(self.min) || has(self.max)",message="set min, max or both"
type PrometheusQuery struct {
	// name is how the query is called in messages.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// query is PromQL that yields one number. $(revision) and $(previous) in it
	// are the names of the new and the old revision.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query"`
	// min is the smallest good value, as a decimal number.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^-?[0-9]+(\.[0-9]+)?$`
	Min string `json:"min,omitempty"`
	// max is the largest good value, as a decimal number.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^-?[0-9]+(\.[0-9]+)?$`
	Max string `json:"max,omitempty"`
}

// Identity is what an upgrade changes: the version of a control plane, and
// which images it and its proxies are.
type Identity struct {
	// version is the Meshwright version.
	// +kubebuilder:validation:MaxLength=63
	Version string `json:"version"`
	// registry is where the images come from.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Registry string `json:"registry,omitempty"`
	// tag is the images' tag.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag,omitempty"`
	// digests are the images' digests, which go before the tag.
	// +optional
	Digests *Digests `json:"digests,omitempty"`
	// proxy is the whole reference of the image of sidecars, over all that.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Proxy string `json:"proxy,omitempty"`
}

// UpgradePhase says how far an upgrade is.
type UpgradePhase string

// The phases of an upgrade, in their order. InPlace knows Installing, Gateways
// and Failed.
const (
	// UpgradeInstalling: the new control plane is not ready yet.
	UpgradeInstalling UpgradePhase = "Installing"
	// UpgradeMoving: workloads of the current step are restarted.
	UpgradeMoving UpgradePhase = "Moving"
	// UpgradeSoaking: the step is done, and the analysis watches.
	UpgradeSoaking UpgradePhase = "Soaking"
	// UpgradeHolding: all steps are done, and workloads remain that no step
	// moves.
	UpgradeHolding UpgradePhase = "Holding"
	// UpgradeGateways: the gateways are upgraded.
	UpgradeGateways UpgradePhase = "Gateways"
	// UpgradeRollingBack: something failed, or the user gave up; workloads and
	// gateways go back.
	UpgradeRollingBack UpgradePhase = "RollingBack"
	// UpgradeFailed: all is as before the upgrade.
	UpgradeFailed UpgradePhase = "Failed"
)

// UpgradeStatus is an upgrade that is under way, or that failed.
type UpgradeStatus struct {
	// from is the revision that is being replaced.
	From string `json:"from"`
	// to is the revision that replaces it; the same one with InPlace.
	To string `json:"to"`
	// target is what the new control plane is.
	Target Identity `json:"target"`
	// phase is how far it is.
	Phase UpgradePhase `json:"phase"`
	// step is the current step, from 1.
	// +optional
	Step int32 `json:"step,omitempty"`
	// steps is how many there are.
	// +optional
	Steps int32 `json:"steps,omitempty"`
	// upTo is the highest place of a workload that was moved so far.
	// +optional
	UpTo string `json:"upTo,omitempty"`
	// moved is how many workloads run with the new revision's proxies only.
	// +optional
	Moved int32 `json:"moved"`
	// total is how many workloads there are.
	// +optional
	Total int32 `json:"total"`
	// remaining are workloads that are not moved yet, at most 20 of them, as
	// KIND NAMESPACE/NAME with the reason where one is known.
	// +optional
	// +listType=atomic
	Remaining []string `json:"remaining,omitempty"`
	// message says what is awaited, or why it failed.
	// +optional
	Message string `json:"message,omitempty"`
	// startTime is when the upgrade began.
	StartTime metav1.Time `json:"startTime"`
	// progressTime is when it last came further; the deadline runs from here.
	ProgressTime metav1.Time `json:"progressTime"`
	// soakTime is since when the analysis has found all well in this step.
	// +optional
	SoakTime *metav1.Time `json:"soakTime,omitempty"`
}

// RevisionStatus is one control plane of a mesh, and what is on it.
type RevisionStatus struct {
	// name is the name of the MeshRevision.
	Name string `json:"name"`
	// identity is what it is.
	Identity Identity `json:"identity"`
	// serving is true for the one that answers for the mesh's name.
	// +optional
	Serving bool `json:"serving,omitempty"`
	// workloads is how many workloads have pods with its proxies.
	Workloads int32 `json:"workloads"`
	// pods is how many pods have its proxies.
	Pods int32 `json:"pods"`
	// unusedTime is since when no pod, gateway or tag needs it. It is set for
	// those only that are to go.
	// +optional
	UnusedTime *metav1.Time `json:"unusedTime,omitempty"`
}

// HistoryEntry is an identity that the mesh had and that was ready.
type HistoryEntry struct {
	// identity is what it was.
	Identity Identity `json:"identity"`
	// readyTime is when it was ready first.
	ReadyTime metav1.Time `json:"readyTime"`
}
