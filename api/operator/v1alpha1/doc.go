// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the operator's API: MeshOperator, what a user wants, and
// MeshRevision, one installed control plane with its gateways.
//
// +kubebuilder:object:generate=true
// +groupName=operator.meshwright.dev
package v1alpha1
