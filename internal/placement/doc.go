// SPDX-License-Identifier: Apache-2.0

// Package placement says which control plane injects a pod while workloads are moved from one to another: what a pod's
// workload is, which place it has among all, and how a webhook's path says up to which place they are moved.
//
// The control plane that is asked and the operator that moves the workloads must agree about each pod, so both use this.
package placement
