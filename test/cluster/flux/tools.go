// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package flux pins the controller of Flux that the tests of GitOps run.
// It is never compiled; it exists so that go.mod keeps its dependencies.
package flux

import _ "github.com/fluxcd/kustomize-controller"
