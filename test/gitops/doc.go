// SPDX-License-Identifier: Apache-2.0

// Package gitops tests that a mesh can be looked after from Git: Flux and Argo CD find it in step with the
// repository and healthy, without exceptions for any field, whatever happens to the mesh meanwhile.
package gitops
