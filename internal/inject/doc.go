// SPDX-License-Identifier: Apache-2.0

// Package inject adds the proxy to pods while they are created.
//
// Decide says whether a pod gets one, Pod computes what changes, and Injector answers admission reviews with both. The
// proxy is a native sidecar (an init container that restarts), placed before the pod's own init containers, so that
// those already have a network, and so that Jobs end.
package inject
