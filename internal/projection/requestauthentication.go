// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"slices"
	"strings"

	security "istio.io/api/security/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedRequestAuthentication = serves(
	"selector.matchLabels",
	"jwtRules[].issuer", "jwtRules[].audiences", "jwtRules[].jwks", "jwtRules[].jwksUri", "jwtRules[].timeout",
	"jwtRules[].fromHeaders", "jwtRules[].fromParams", "jwtRules[].fromCookies",
	"jwtRules[].forwardOriginalToken", "jwtRules[].outputPayloadToHeader", "jwtRules[].outputClaimToHeaders",
	"jwtRules[].spaceDelimitedClaims",
)

const (
	maxTokenRules = 100
	maxTokenList  = 100 // audiences, places and claims of one rule
	maxTokenText  = 1024
)

// spacedClaims is the claims that are lists in any case: RFC 8693, section 4.2, has
// the first, and existing manifests rely on the second.
var spacedClaims = []string{"scope", "permission"}

// framing is the headers that say where a request ends and whom it is for. A claim in
// one of them would let the owner of a token choose.
var framing = []string{"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}

// RequestAuthentication projects a security.istio.io RequestAuthentication of any
// version. The row is nil when nothing of the object can be served. See
// https://istio.io/latest/docs/reference/config/security/request_authentication/.
func (s Scope) RequestAuthentication(meta *metav1.ObjectMeta, text []byte) (*ir.RequestAuthentication, []ir.Problem, error) {
	in := &security.RequestAuthentication{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	r := &requestAuthentication{notes: notes{origin: origin(KindRequestAuthentication, meta)}}
	out := &ir.RequestAuthentication{
		Origin:   r.notes.origin,
		Created:  created(meta),
		Selector: ir.NewLabels(in.GetSelector().GetMatchLabels()),
	}
	selects := workloadSelector(&r.notes, spec.field("selector").field("matchLabels"), out.Selector)
	for _, g := range servedRequestAuthentication.gaps(in.ProtoReflect()) {
		switch g.pattern {
		case "targetRef", "targetRefs[]":
			r.notes.refused(g.at, "the object has no effect, as without this it would hold for other workloads; use spec.selector")
			selects = false
		default:
			r.notes.ignored(g.at)
		}
	}
	at := spec.field("jwtRules")
	if len(in.JwtRules) == 0 {
		r.notes.warn(ReasonUnreachable, at, "has no rules, so the object has no effect; add the issuers of tokens")
	}
	for i, rule := range in.JwtRules {
		if i == maxTokenRules {
			r.notes.invalid(at.index(i), "is more than the %d rules that an object can have; split it", maxTokenRules)
			break
		}
		out.Rules = append(out.Rules, r.rule(i, rule))
	}
	if !selects || len(out.Rules) == 0 {
		out = nil // without the selector it would hold for other workloads
	}
	return out, r.notes.sorted(), nil
}

// requestAuthentication is one projection under way.
type requestAuthentication struct{ notes notes }

// rule projects one issuer. Of one that is in error no token is valid: to leave it out
// would let its tokens through without a look at them.
func (r *requestAuthentication) rule(i int, in *security.JWTRule) ir.TokenRule {
	at := spec.field("jwtRules").index(i)
	out := ir.TokenRule{Origin: r.notes.origin, Issuer: in.GetIssuer()}
	out.Origin.Section = fmt.Sprintf("jwtRules[%d]", i)
	before := r.notes.errors()
	switch {
	case out.Issuer == "":
		r.notes.invalid(at.field("issuer"), `is required; it is the claim "iss" of the tokens`)
	case !isText(out.Issuer):
		r.notes.invalid(at.field("issuer"), "must have at most %d printable characters", maxTokenText)
		out.Issuer = ""
	}
	out.Audiences = r.texts(at.field("audiences"), in.GetAudiences())
	slices.Sort(out.Audiences)
	out.Audiences = slices.Compact(out.Audiences)
	r.places(at, in, &out)
	r.outputs(at, in, &out)
	out.Lists = slices.Concat(spacedClaims, r.texts(at.field("spaceDelimitedClaims"), in.GetSpaceDelimitedClaims()))
	slices.Sort(out.Lists)
	out.Lists = slices.Compact(out.Lists)
	keys := r.keys(at, in)
	if r.notes.errors() > before {
		return ir.TokenRule{Origin: out.Origin, Issuer: out.Issuer, Headers: out.Headers, Params: out.Params, Cookies: out.Cookies}
	}
	out.Keys = keys
	return out
}

func (r *requestAuthentication) keys(at path, in *security.JWTRule) ir.TokenKeys {
	switch {
	case in.GetJwks() == "" && in.GetJwksUri() == "":
		r.notes.invalid(at, "needs the keys of the issuer: set jwksUri, or put them in jwks; they are not looked for at the issuer")
		return ir.TokenKeys{}
	case in.GetJwks() != "" && in.GetJwksUri() != "":
		r.notes.invalid(at.field("jwksUri"), "cannot be combined with jwks")
		return ir.TokenKeys{}
	case in.GetJwks() == "":
		return ir.TokenKeys{From: r.source(at, in)}
	case in.GetTimeout() != nil:
		r.notes.warn(ReasonUnreachable, at.field("timeout"), "has no effect without jwksUri")
	}
	set, left, err := keySet(in.GetJwks())
	if err != nil {
		r.notes.invalid(at.field("jwks"), "%v", err)
		return ir.TokenKeys{}
	}
	for _, why := range left {
		r.notes.warn(ReasonInvalid, at.field("jwks"), "%s; the key is left out", why)
	}
	return ir.TokenKeys{Set: set}
}

// places projects where tokens are looked for.
func (r *requestAuthentication) places(at path, in *security.JWTRule, out *ir.TokenRule) {
	for i, h := range in.GetFromHeaders() {
		here := at.field("fromHeaders").index(i)
		if i == maxTokenList {
			r.notes.invalid(here, "is more than the %d headers that a rule can have", maxTokenList)
			break
		}
		err := checkHeader(h.GetName())
		if err != nil {
			r.notes.invalid(here.field("name"), "%v", err)
		}
		if h.GetPrefix() != "" && !isText(h.GetPrefix()) {
			r.notes.invalid(here.field("prefix"), "must have at most %d printable characters", maxTokenText)
			continue
		}
		if err == nil {
			out.Headers = append(out.Headers, ir.TokenHeader{Name: strings.ToLower(h.GetName()), Prefix: h.GetPrefix()})
		}
	}
	out.Params = r.texts(at.field("fromParams"), in.GetFromParams())
	for i, name := range r.texts(at.field("fromCookies"), in.GetFromCookies()) {
		if err := checkCookie(name); err != nil {
			r.notes.invalid(at.field("fromCookies").index(i), "%v", err)
			continue
		}
		out.Cookies = append(out.Cookies, name)
	}
}

// outputs projects what of a valid token the application is told.
func (r *requestAuthentication) outputs(at path, in *security.JWTRule, out *ir.TokenRule) {
	out.Forward = in.GetForwardOriginalToken()
	if name := in.GetOutputPayloadToHeader(); name != "" {
		r.writable(at.field("outputPayloadToHeader"), name)
		out.PayloadHeader = strings.ToLower(name)
	}
	for i, c := range in.GetOutputClaimToHeaders() {
		here := at.field("outputClaimToHeaders").index(i)
		if i == maxTokenList {
			r.notes.invalid(here, "is more than the %d claims that a rule can write", maxTokenList)
			return
		}
		r.writable(here.field("header"), c.GetHeader())
		if !isText(c.GetClaim()) {
			r.notes.invalid(here.field("claim"), "must have 1 to %d printable characters", maxTokenText)
		}
		name := strings.ToLower(c.GetHeader())
		if name != "" && name == out.PayloadHeader || slices.ContainsFunc(out.Claims, func(o ir.ClaimHeader) bool { return o.Header == name }) {
			r.notes.invalid(here.field("header"), "header %q is written twice", name)
		}
		out.Claims = append(out.Claims, ir.ClaimHeader{Header: name, Claim: c.GetClaim()})
	}
}

// writable checks a header that is written.
func (r *requestAuthentication) writable(at path, name string) {
	if err := checkHeader(name); err != nil {
		r.notes.invalid(at, "%v", err)
	} else if slices.Contains(framing, strings.ToLower(name)) {
		r.notes.invalid(at, "header %q is not for claims: it says whom a request is for or where it ends", name)
	}
}

func (r *requestAuthentication) texts(at path, in []string) []string {
	var out []string
	for i, s := range in {
		if i == maxTokenList {
			r.notes.invalid(at.index(i), "is more than the %d that are possible", maxTokenList)
			break
		}
		if !isText(s) {
			r.notes.invalid(at.index(i), "must have 1 to %d printable characters", maxTokenText)
			continue
		}
		out = append(out, s)
	}
	return out
}

// isText tells whether a text is not empty, not too long, and has no control characters.
func isText(s string) bool {
	return s != "" && len(s) <= maxTokenText && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
