// SPDX-License-Identifier: Apache-2.0

// Package traffic reads the kinds of networking.istio.io and Ingresses: each has a file that says
// how it is projected and where its rows go.
package traffic

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/projection"
)

// Kinds is all that is read of traffic configuration. The control plane's role must
// allow to list and watch each, and to patch the status of those that have one.
func Kinds(scope projection.Scope) []row.Kind {
	return []row.Kind{
		virtualService(scope),
		destinationRule(scope),
		gateway(scope),
		proxyConfig(scope),
		serviceEntry(scope),
		workloadEntry(scope),
		workloadGroup(scope),
		ingress(scope),
		ingressClass(scope),
		sidecar(scope),
	}
}

func resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: name}
}
