// SPDX-License-Identifier: Apache-2.0

// Package meshctl tests the commands of meshctl against a real API server that
// nothing was installed into. The tests have the build tag integration.
package meshctl
