// SPDX-License-Identifier: Apache-2.0

// Package security reads the kinds of security.istio.io: each has a file that says
// how it is projected and where its rows go.
package security

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/projection"
)

// Kinds is all that is read of security configuration. The control plane's role must
// allow to list and watch each, and to patch its status.
func Kinds(scope projection.Scope) []row.Kind {
	return []row.Kind{
		peerAuthentication(scope),
		requestAuthentication(scope),
	}
}

func resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "security.istio.io", Version: "v1", Resource: name}
}
