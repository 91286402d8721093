// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// annotationIngressClass is how Ingresses named their class before IngressClass.
const annotationIngressClass = "kubernetes.io/ingress.class"

// ingressController is what an IngressClass names whose Ingresses a mesh serves.
const ingressController = "istio.io/ingress-controller"

// IngressClass projects a networking.k8s.io IngressClass.
func (s Scope) IngressClass(_ *metav1.ObjectMeta, text []byte) (*ir.IngressClass, []ir.Problem, error) {
	in := &networkingv1.IngressClassSpec{}
	if err := decodeJSON(text, in); err != nil {
		return nil, nil, err
	}
	return &ir.IngressClass{Ours: in.Controller == ingressController}, nil, nil
}

// Ingress projects a networking.k8s.io Ingress. See
// https://kubernetes.io/docs/concepts/services-networking/ingress/.
func (s Scope) Ingress(meta *metav1.ObjectMeta, text []byte) (*ir.Ingress, []ir.Problem, error) {
	in := &networkingv1.IngressSpec{}
	if err := decodeJSON(text, in); err != nil {
		return nil, nil, err
	}
	p := &ingress{scope: s, notes: notes{origin: origin(KindIngress, meta)}, namespace: meta.Namespace}
	out := &ir.Ingress{Origin: p.notes.origin, Created: created(meta)}
	if class, ok := meta.Annotations[annotationIngressClass]; ok {
		out.Class, out.Annotated = class, true
	} else if in.IngressClassName != nil {
		out.Class = *in.IngressClassName
	}
	if in.DefaultBackend != nil {
		rule := p.rule(spec.field("defaultBackend"), spec.field("defaultBackend"), in.DefaultBackend)
		out.Default = &rule
	}
	for i := range in.Rules {
		if in.Rules[i].HTTP != nil {
			p.add(out, spec.field("rules").index(i), &in.Rules[i])
		}
	}
	for i := range in.TLS {
		p.tls(out, spec.field("tls").index(i), &in.TLS[i])
	}
	slices.SortFunc(out.Hosts, func(a, b ir.IngressHost) int { return strings.Compare(a.Host, b.Host) })
	slices.SortFunc(out.TLS, func(a, b ir.IngressTLS) int { return strings.Compare(a.Secret, b.Secret) })
	return out, p.notes.sorted(), nil
}

func decodeJSON(text []byte, into any) error {
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("decode spec: %w", err)
	}
	return nil
}

// ingress is one projection under way.
type ingress struct {
	scope     Scope
	notes     notes
	namespace string
}

// add adds the paths of a rule to those of its host.
func (p *ingress) add(out *ir.Ingress, at path, in *networkingv1.IngressRule) {
	host := cmp.Or(strings.ToLower(in.Host), "*")
	if err := checkHost(host); err != nil {
		p.notes.invalid(at.field("host"), "host %v; this rule is left out", err)
		return
	}
	i := slices.IndexFunc(out.Hosts, func(h ir.IngressHost) bool { return h.Host == host })
	if i < 0 {
		i = len(out.Hosts)
		out.Hosts = append(out.Hosts, ir.IngressHost{Host: host})
	}
	for j := range in.HTTP.Paths {
		here := at.field("http").field("paths").index(j)
		x := &in.HTTP.Paths[j]
		rule := p.rule(here, here.field("backend"), &x.Backend)
		rule.Path = x.Path
		kind := networkingv1.PathTypeImplementationSpecific
		if x.PathType != nil {
			kind = *x.PathType
		}
		if kind != networkingv1.PathTypeImplementationSpecific && !strings.HasPrefix(x.Path, "/") {
			p.notes.invalid(here.field("path"), "%q must begin with /; this path is left out", x.Path)
			continue
		}
		match(&rule, kind)
		out.Hosts[i].Rules = append(out.Hosts[i].Rules, rule)
	}
}

// match sets what a rule takes. A prefix is of whole parts of the path. What is left
// to the implementation is exact, unless it ends in ".*" or "/*".
func match(rule *ir.IngressRule, kind networkingv1.PathType) {
	paths := func(all ...ir.StringMatch) {
		for i := range all {
			rule.Rule.Matches = append(rule.Rule.Matches, ir.Match{Path: &all[i]})
		}
	}
	switch text := rule.Path; {
	case kind == networkingv1.PathTypePrefix:
		if text = strings.TrimRight(text, "/"); text != "" {
			paths(ir.StringMatch{Kind: ir.MatchExact, Value: text}, ir.StringMatch{Kind: ir.MatchPrefix, Value: text + "/"})
		}
	case kind == networkingv1.PathTypeExact:
		rule.Exact = true
		paths(ir.StringMatch{Kind: ir.MatchExact, Value: text})
	case text == "" || text == "*" || text == "/*" || text == ".*":
	case strings.HasSuffix(text, ".*") || strings.HasSuffix(text, "/*"):
		paths(ir.StringMatch{Kind: ir.MatchPrefix, Value: text[:len(text)-2]})
	default:
		rule.Exact = true
		paths(ir.StringMatch{Kind: ir.MatchExact, Value: text})
	}
}

// rule is where a backend leads to; what cannot be understood is answered 500.
func (p *ingress) rule(from, at path, in *networkingv1.IngressBackend) ir.IngressRule {
	out := ir.IngressRule{Rule: ir.Rule{Origin: p.notes.origin}}
	out.Rule.Origin.Section = strings.TrimPrefix(string(from), string(spec)+".")
	if in.Service == nil {
		p.notes.invalid(at, "must name a service; a resource is nothing that proxies can call")
		out.Rule.Direct = broken()
		return out
	}
	number, ok := portNumber(int64(in.Service.Port.Number))
	if !ok && in.Service.Port.Name == "" || ok && in.Service.Port.Name != "" {
		p.notes.invalid(at.field("service").field("port"), "must have either a number from 1 to 65535 or a name")
		out.Rule.Direct = broken()
		return out
	}
	out.PortName = in.Service.Port.Name
	out.Rule.Destinations = []ir.Destination{{Host: p.scope.Host(p.namespace, in.Service.Name), Port: number, Weight: 100}}
	return out
}

// tls adds a certificate, or its hosts to those that it has already.
func (p *ingress) tls(out *ir.Ingress, at path, in *networkingv1.IngressTLS) {
	if in.SecretName == "" {
		p.notes.invalid(at.field("secretName"), "must name a Secret in the namespace of the gateway; this entry is left out")
		return
	}
	hosts := in.Hosts
	if len(hosts) == 0 {
		hosts = []string{"*"}
	}
	i := slices.IndexFunc(out.TLS, func(t ir.IngressTLS) bool { return t.Secret == in.SecretName })
	if i < 0 {
		i = len(out.TLS)
		out.TLS = append(out.TLS, ir.IngressTLS{Secret: in.SecretName})
	}
	for j, h := range hosts {
		h = strings.ToLower(h)
		if err := checkHost(h); err != nil {
			p.notes.invalid(at.field("hosts").index(j), "host %v; it is left out", err)
		} else {
			out.TLS[i].Hosts = append(out.TLS[i].Hosts, h)
		}
	}
	slices.Sort(out.TLS[i].Hosts)
	if out.TLS[i].Hosts = slices.Compact(out.TLS[i].Hosts); len(out.TLS[i].Hosts) == 0 {
		out.TLS = slices.Delete(out.TLS, i, i+1)
	}
}
