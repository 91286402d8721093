// SPDX-License-Identifier: Apache-2.0

// Package ir holds the immutable rows that flow through the control plane and
// the keys that rows use to refer to one another.
//
// A row is plain data: values, sorted slices and netip addresses. It contains no
// API type, no protobuf message and no clock, and nobody changes it once it was
// handed over. Things that change at different rates are different rows, so that
// a pod that becomes ready cannot wake a route.
package ir
