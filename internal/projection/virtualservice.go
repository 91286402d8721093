// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"net/http"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedVirtualService = serves(
	"hosts", "gateways", "exportTo",
	"http[].name",
	"http[].match[].name", // a label for people; it has no effect
	"http[].match[].uri", "http[].match[].ignoreUriCase",
	"http[].match[].headers", "http[].match[].withoutHeaders",
	"http[].match[].method", "http[].match[].authority", "http[].match[].scheme",
	"http[].match[].gateways", "http[].match[].queryParams", "http[].match[].port",
	"http[].match[].sourceNamespace", "http[].match[].sourceLabels", "http[].match[].statPrefix",
	"http[].route[].destination.host", "http[].route[].destination.subset",
	"http[].route[].destination.port", "http[].route[].weight",
	"http[].route[].headers", "http[].headers",
	"http[].redirect", "http[].rewrite", "http[].corsPolicy",
	"http[].fault.delay.fixedDelay", "http[].fault.delay.percentage", "http[].fault.delay.percent",
	"http[].fault.abort.httpStatus", "http[].fault.abort.grpcStatus", "http[].fault.abort.percentage",
	"http[].mirror", "http[].mirrors", "http[].mirrorPercentage", "http[].mirrorPercent",
	"http[].directResponse",
	"http[].delegate",
	"http[].timeout",
	"http[].retries.attempts", "http[].retries.perTryTimeout", "http[].retries.retryOn",
	"http[].retries.retryRemoteLocalities", "http[].retries.retryIgnorePreviousHosts", "http[].retries.backoff",
	"tls[].match[].sniHosts", "tls[].match[].destinationSubnets", "tls[].match[].port",
	"tls[].match[].sourceLabels", "tls[].match[].sourceNamespace", "tls[].match[].gateways",
	"tls[].route[].destination.host", "tls[].route[].destination.subset",
	"tls[].route[].destination.port", "tls[].route[].weight",
	"tcp[].match[].destinationSubnets", "tcp[].match[].port",
	"tcp[].match[].sourceLabels", "tcp[].match[].sourceNamespace", "tcp[].match[].gateways",
	"tcp[].route[].destination.host", "tcp[].route[].destination.subset",
	"tcp[].route[].destination.port", "tcp[].route[].weight",
)

// VirtualService projects a networking.istio.io VirtualService of any version: they
// share one schema. The row is nil when nothing of the object can be served. See
// https://istio.io/latest/docs/reference/config/networking/virtual-service/.
func (s Scope) VirtualService(meta *metav1.ObjectMeta, text []byte) (*ir.Routes, []ir.Problem, error) {
	in := &networking.VirtualService{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	v := &virtualService{
		scope: s, meta: meta,
		notes: notes{origin: origin(KindVirtualService, meta)},
		gaps:  map[ruleKey]*ruleGaps{},
	}
	row := v.project(in)
	return row, v.notes.sorted(), nil
}

// virtualService is one projection under way.
type virtualService struct {
	scope   Scope
	meta    *metav1.ObjectMeta
	notes   notes
	gaps    map[ruleKey]*ruleGaps
	subnets int // so far, in the whole object

	isDelegate bool // without hosts
	inMesh     bool // bound to the sidecars
	meshOnly   bool // and to no gateway
}

// ruleKey is where in an object a rule is.
type ruleKey struct {
	list  string // "http", "tls" or "tcp"
	index int
}

// ruleGaps is what of a rule cannot be served.
type ruleGaps struct {
	matches map[int]bool // each restricts by something that is not served
}

func (v *virtualService) project(in *networking.VirtualService) *ir.Routes {
	v.findGaps(in)
	out := &ir.Routes{
		Origin:   v.notes.origin,
		Created:  created(v.meta),
		ExportTo: exportTo(&v.notes, spec.field("exportTo"), v.meta.Namespace, orDefault(in.ExportTo, v.scope.exports().Routes)),
	}
	if v.isDelegate = len(in.Hosts) == 0; v.isDelegate {
		v.checkDelegate(in)
	} else {
		out.Mesh, out.Gateways = v.gateways(spec.field("gateways"), in.Gateways)
		out.Hosts = v.hosts(in.Hosts, out.Mesh)
		v.inMesh, v.meshOnly = out.Mesh, out.Mesh && len(out.Gateways) == 0
	}
	written := map[string]int{} // matches by rule
	for i, r := range in.Http {
		if r == nil {
			continue
		}
		if rule, ok := v.rule(i, r); ok {
			out.HTTP = append(out.HTTP, rule)
			written[rule.Origin.Section] = len(r.Match)
		}
	}
	v.unreachable(out.HTTP, written)
	if !v.isDelegate {
		out.TLS, out.TCP = v.tlsRules(in.Tls, in.Hosts), v.tcpRules(in.Tcp)
	}
	if len(in.Http) == 0 && len(in.Tls) == 0 && len(in.Tcp) == 0 {
		v.notes.invalid(spec, "has no routes; add http, tls or tcp")
	}
	rules := len(out.HTTP) + len(out.TLS) + len(out.TCP)
	placed := v.isDelegate || len(out.Hosts) > 0 && (out.Mesh || len(out.Gateways) > 0)
	if rules == 0 || !placed {
		return nil
	}
	return out
}

// findGaps reports what is not served. A match that restricts by something that is
// not served must not be taken without it: the rule would get requests that it was
// not meant for.
func (v *virtualService) findGaps(in *networking.VirtualService) {
	for _, g := range servedVirtualService.gaps(in.ProtoReflect()) {
		list, rest, _ := strings.Cut(g.pattern, "[].")
		switch {
		case strings.HasPrefix(rest, "match[]."):
			v.gap(list, g.indices[0]).matches[g.indices[1]] = true
			v.notes.refused(g.at, "this match is left out, as it would take more requests without it")
		default:
			v.notes.ignored(g.at)
		}
	}
}

func (v *virtualService) gap(list string, rule int) *ruleGaps {
	k := ruleKey{list, rule}
	if v.gaps[k] == nil {
		v.gaps[k] = &ruleGaps{matches: map[int]bool{}}
	}
	return v.gaps[k]
}

func (v *virtualService) hosts(in []string, mesh bool) []string {
	at := spec.field("hosts")
	out := make([]string, 0, len(in))
	for i, h := range in {
		switch err := checkHost(h); {
		case err != nil:
			v.notes.invalid(at.index(i), "host %v", err)
		case h == "*" && mesh:
			v.notes.invalid(at.index(i), `"*" is for gateways only; list gateways without %q, or name hosts`, ir.MeshGateway)
		default:
			host := v.scope.resolve(h, v.meta.Namespace)
			if slices.Contains(out, host) {
				v.notes.invalid(at.index(i), "host %s is listed twice", host)
				continue
			}
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}

// gateways resolves NAME, NAMESPACE/NAME, ./NAME and the older NAME.NAMESPACE[.svc...].
// Without any, an object is bound to the sidecars.
func (v *virtualService) gateways(at path, in []string) (mesh bool, out []ir.ConfigKey) {
	if len(in) == 0 {
		return true, nil
	}
	for i, text := range in {
		if text == ir.MeshGateway {
			mesh = true
			continue
		}
		key := gatewayKey(text, v.meta.Namespace)
		if checkLabel(key.Namespace) != nil || checkName(key.Name) != nil {
			v.notes.invalid(at.index(i), "gateway %q must be NAME or NAMESPACE/NAME", text)
			continue
		}
		out = append(out, key)
	}
	slices.SortFunc(out, ir.ConfigKey.Compare)
	return mesh, slices.Compact(out)
}

func gatewayKey(text, namespace string) ir.ConfigKey {
	if ns, name, ok := strings.Cut(text, "/"); ok {
		if ns == "." {
			ns = namespace
		}
		return ir.ConfigKey{Namespace: ns, Name: name}
	}
	if name, rest, ok := strings.Cut(text, "."); ok {
		ns, _, _ := strings.Cut(rest, ".")
		return ir.ConfigKey{Namespace: ns, Name: name}
	}
	return ir.ConfigKey{Namespace: namespace, Name: text}
}

// broken answers for a rule that could not be understood.
func broken() *ir.Direct { return &ir.Direct{Status: http.StatusInternalServerError} }
