// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow the kstatus
// convention (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus):
// Reconciling and Stalled are there only while they are true.
const (
	// ConditionReady is True when everything that the spec asks for serves.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator is working or waiting.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when nothing will change without a user.
	ConditionStalled = "Stalled"
	// ConditionCRDsReady is True when every CRD is established.
	ConditionCRDsReady = "CRDsReady"
	// ConditionControlPlaneReady is True when every replica of the control plane is available.
	ConditionControlPlaneReady = "ControlPlaneReady"
	// ConditionWebhooksReady is True when the webhooks have their CA bundle.
	ConditionWebhooksReady = "WebhooksReady"
	// ConditionCNIReady is True when every node has the CNI plugin.
	ConditionCNIReady = "CNIReady"
	// ConditionGatewaysReady is True when every replica of every gateway is available.
	ConditionGatewaysReady = "GatewaysReady"
)

// Condition reasons.
const (
	// ReasonReady: everything serves.
	ReasonReady = "Ready"
	// ReasonProgressing: the operator is applying or waiting.
	ReasonProgressing = "Progressing"
	// ReasonNotInstalled: the spec asks for none of it.
	ReasonNotInstalled = "NotInstalled"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonUnknownProfile: spec.profile names no profile.
	ReasonUnknownProfile = "UnknownProfile"
	// ReasonUnknownVersion: spec.version names a version that this operator does not carry.
	ReasonUnknownVersion = "UnknownVersion"
	// ReasonInvalidValues: values do not fit the chart's schema.
	ReasonInvalidValues = "InvalidValues"
	// ReasonInvalidOverlay: an overlay matches nothing or cannot be applied.
	ReasonInvalidOverlay = "InvalidOverlay"
	// ReasonRevisionConflict: the revision belongs to another MeshOperator.
	ReasonRevisionConflict = "RevisionConflict"
	// ReasonObjectConflict: an object exists that belongs to somebody else.
	ReasonObjectConflict = "ObjectConflict"
	// ReasonRejected: the API server refuses a rendered object.
	ReasonRejected = "Rejected"
	// ReasonFieldContested: somebody else keeps changing a field of ours.
	ReasonFieldContested = "FieldContested"
	// ReasonControlPlaneNotReady: the control plane is not available yet.
	ReasonControlPlaneNotReady = "ControlPlaneNotReady"
	// ReasonCRDsNotReady: a CRD is not established yet.
	ReasonCRDsNotReady = "CRDsNotReady"
	// ReasonWebhooksNotReady: a webhook has no CA bundle yet.
	ReasonWebhooksNotReady = "WebhooksNotReady"
	// ReasonGatewaysNotReady: a gateway is not available yet.
	ReasonGatewaysNotReady = "GatewaysNotReady"
	// ReasonCNINotReady: a node does not have the CNI plugin yet.
	ReasonCNINotReady = "CNINotReady"
	// ReasonPruning: objects that are no longer wanted are being deleted.
	ReasonPruning = "Pruning"
	// ReasonNamespaceTerminating: a namespace that is needed is being deleted.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonUpgrading: an upgrade is under way.
	ReasonUpgrading = "Upgrading"
	// ReasonUpgradePaused: an upgrade is held by spec.upgradeStrategy.paused.
	ReasonUpgradePaused = "UpgradePaused"
	// ReasonRollingBack: an upgrade is being undone.
	ReasonRollingBack = "RollingBack"
	// ReasonUpgradeFailed: an upgrade was undone.
	ReasonUpgradeFailed = "UpgradeFailed"
	// ReasonUpgradeAborted: an upgrade was undone because the user gave it up.
	ReasonUpgradeAborted = "UpgradeAborted"
	// ReasonDriftDetected: something that the operator owns was found changed or missing, and is put back.
	ReasonDriftDetected = "DriftDetected"
	// ReasonError: an error that is tried again.
	ReasonError = "Error"
)

// Labels, annotations and finalizers of the operator.
const (
	// LabelRevision, on every applied object, names its MeshRevision.
	LabelRevision = "operator.meshwright.dev/revision"
	// OwnerTag, before its name, is how LabelRevision names a MeshRevisionTag; no
	// revision's name has a dot.
	OwnerTag = "tag."
	// LabelComponent, on every applied object, names its component.
	LabelComponent = "operator.meshwright.dev/component"
	// AnnotationProxyRevision, in the pod template of a workload, names the revision
	// for which the operator restarted it.
	AnnotationProxyRevision = "operator.meshwright.dev/proxy-revision"
	// AnnotationProxyRevisionBefore, on a workload that an upgrade has restarted, is
	// REVISION=VALUE: the revision that it is upgraded to, and what
	// AnnotationProxyRevision was before; empty for none.
	AnnotationProxyRevisionBefore = "operator.meshwright.dev/proxy-revision-before"
	// AnnotationPaused with a true value stops the operator for a MeshOperator
	// or a MeshRevision.
	AnnotationPaused = "operator.meshwright.dev/paused"
	// AnnotationAdopt with the value true on an object that exists already lets
	// the operator take it over.
	AnnotationAdopt = "operator.meshwright.dev/adopt"
	// AnnotationServiceAccount in a pod template is the UID of the pods' ServiceAccount.
	AnnotationServiceAccount = "operator.meshwright.dev/service-account-uid"
	// Finalizer keeps an IstioOperator until what was made for it is gone. The
	// kinds of this group have none: see docs/adr/013.
	Finalizer = "operator.meshwright.dev/cleanup"
)

// DefaultRevision is the revision of a MeshOperator that names none.
const DefaultRevision = "default"

// DefaultNamespace is the namespace of a MeshOperator that names none.
const DefaultNamespace = "istio-system"
