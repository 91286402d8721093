// SPDX-License-Identifier: Apache-2.0

// Package operator tests the operator's binary, with the rights that its chart
// gives it, against a real API server. The tests have the build tag
// integration.
package operator
