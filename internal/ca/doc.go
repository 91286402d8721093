// SPDX-License-Identifier: Apache-2.0

// Package ca is the mesh's certificate authority: it keeps the root, signs workload certificates for authenticated
// service accounts, and makes the control plane's own serving certificates.
//
// A workload's name is never taken from its request. The request proves only that the caller holds a private key; the
// identity comes from the service account token that the API server vouched for.
package ca
