// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"

	"google.golang.org/protobuf/proto"
	metav1alpha1 "istio.io/api/meta/v1alpha1"
)

// kind is one custom resource: what its protobuf message cannot say.
type kind struct {
	group    string
	name     string
	plural   string
	short    []string
	about    string
	spec     proto.Message
	status   proto.Message
	versions []string // the first is stored, the rest are served too
	columns  []column
	filled   bool     // an object without a spec says nothing, so it is refused
	rules    []rule   // on the spec
	limits   []limits // of fields of the spec
	unique   []unique // lists of the spec
	aliases  []alias  // fields of the spec
}

// column is a line of kubectl's table.
type column struct{ name, path, about string }

const (
	networking = "networking.istio.io"
	security   = "security.istio.io"
	telemetry  = "telemetry.istio.io"
	extensions = "extensions.istio.io"
)

var (
	graduated   = []string{"v1", "v1beta1", "v1alpha3"}
	secured     = []string{"v1", "v1beta1"}
	istioStatus = &metav1alpha1.IstioStatus{}
)

// Checks that several kinds have.
var (
	oneTarget = rule{
		cel:     alone([]string{"selector", "targetRefs"}, "true"),
		message: "only one of selector and targetRefs may be set", field: "targetRefs",
	}
	// With the older targetRef, which some kinds still have.
	oneTargetOfThree = rule{
		cel:     alone([]string{"selector", "targetRef", "targetRefs"}, "true"),
		message: "only one of selector, targetRef and targetRefs may be set", field: "targetRefs",
	}
)

// kinds is everything that is generated, in the order of the files' names.
func kinds() []kind {
	return slices.Concat(extended(), trafficKinds(), workloadKinds(), securityKinds(), observed())
}
