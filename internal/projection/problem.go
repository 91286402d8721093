// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// The kinds whose objects get problems.
const (
	KindVirtualService        = "VirtualService"
	KindDestinationRule       = "DestinationRule"
	KindGateway               = "Gateway"
	KindServiceEntry          = "ServiceEntry"
	KindWorkloadEntry         = "WorkloadEntry"
	KindWorkloadGroup         = "WorkloadGroup"
	KindSidecar               = "Sidecar"
	KindPeerAuthentication    = "PeerAuthentication"
	KindRequestAuthentication = "RequestAuthentication"
	KindProxyConfig           = "ProxyConfig"
	KindIngress               = "Ingress"
	KindIngressClass          = "IngressClass"
)

// Reasons of problems. They are stable: users may wait for them.
const (
	ReasonInvalid     = "Invalid"     // breaks a rule of the API
	ReasonNotServed   = "NotServed"   // right, but this control plane does not do it yet
	ReasonMalformed   = "Malformed"   // does not fit the type at all
	ReasonUnreachable = "Unreachable" // right, but can never have an effect
	ReasonLoop        = "Loop"        // right, but does the same again and again
	ReasonUnsafe      = "Unsafe"      // right, but what it protects is not
)

// Malformed is the problem of an object whose spec does not fit its type. Such an
// object passes neither the schema nor the webhook, unless both are away.
func Malformed(kind string, meta *metav1.ObjectMeta, err error) ir.Problem {
	return ir.Problem{
		Origin: origin(kind, meta), Condition: ir.Accepted, Severity: ir.Error, Reason: ReasonMalformed, Field: "spec",
		Message: "cannot be read: " + err.Error() + "; what the object said before stays in effect",
	}
}

func origin(kind string, meta *metav1.ObjectMeta) ir.Origin {
	return ir.Origin{Kind: kind, Namespace: meta.Namespace, Name: meta.Name}
}

// notes gathers the problems of one object.
type notes struct {
	origin ir.Origin
	out    []ir.Problem
}

// join takes over what a reader of another kind noted, who went on with these.
func (n *notes) join(later *notes) { n.out = later.out }

// invalid notes an error; the section that it belongs to is not in effect.
func (n *notes) invalid(at path, format string, args ...any) {
	n.add(ir.Error, ReasonInvalid, at, fmt.Sprintf(format, args...))
}

// refused notes an error about something that is right but not served, and what
// becomes of the part that it belongs to.
func (n *notes) refused(at path, instead string) {
	n.add(ir.Error, ReasonNotServed, at, "not served yet; "+instead)
}

// ignored notes a warning about something that is right but not served.
func (n *notes) ignored(at path) {
	n.add(ir.Warning, ReasonNotServed, at, "not served yet; it is ignored")
}

// warn notes something that takes effect in another way than it may seem.
func (n *notes) warn(reason string, at path, format string, args ...any) {
	n.add(ir.Warning, reason, at, fmt.Sprintf(format, args...))
}

func (n *notes) add(severity ir.Severity, reason string, at path, message string) {
	n.out = append(n.out, ir.Problem{
		Origin: n.origin, Condition: ir.Accepted, Severity: severity, Reason: reason, Field: string(at), Message: message,
	})
}

// errors counts the errors so far, to tell whether a part added any.
func (n *notes) errors() int {
	count := 0
	for i := range n.out {
		if n.out[i].Severity == ir.Error {
			count++
		}
	}
	return count
}

// sorted is all problems in their order, each once.
func (n *notes) sorted() []ir.Problem {
	slices.SortFunc(n.out, ir.Problem.Compare)
	return slices.Compact(n.out)
}

// path is where in an object something is, for example "spec.http[0].route[1].weight".
type path string

const spec path = "spec"

func (p path) field(name string) path { return p + "." + path(name) }

func (p path) index(i int) path { return p + "[" + path(strconv.Itoa(i)) + "]" }

func (p path) key(k string) path { return p + "[" + path(k) + "]" }
