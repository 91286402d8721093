// SPDX-License-Identifier: Apache-2.0

// Package projection turns Kubernetes and Istio objects into rows. All parsing,
// defaulting and checking of what users write happens here and nowhere else.
//
// Every function is pure: the same object gives the same row, and what the mesh
// does not use (annotations, status, resource versions) cannot change a row.
// What cannot be understood becomes a Problem with the path of the field; the
// rest of the object is served.
//
// An object that names something that is not served yet is treated by one rule:
// nothing may be served wider than it was meant. A field that restricts (a match,
// a selector, a check of certificates) takes the part that it belongs to with it,
// as an error; any other field is ignored with a warning.
package projection
