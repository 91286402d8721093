// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is Istio's installation API, as far as this operator serves
// it: an IstioOperator is converted to a MeshOperator. Its types describe the
// CRD and are for clients that write objects; the operator itself reads objects
// as they are, because users' specs have fields that no version of this package
// knows.
//
// +kubebuilder:object:generate=true
// +groupName=install.istio.io
package v1alpha1
