// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RequestAuthentication says which tokens of end users are valid.
type RequestAuthentication struct {
	Origin   Origin
	Created  int64
	Selector Labels // empty: the whole namespace (in the root namespace: the mesh)
	Rules    []TokenRule
}

// TokenRule is one issuer of tokens: JSON Web Tokens of RFC 7519.
type TokenRule struct {
	Origin    Origin
	Issuer    string
	Audiences []string // sorted; a token must be for one of them; empty: for anybody
	Keys      TokenKeys

	// Where tokens are looked for; without any, where RFC 6750 puts them.
	Headers []TokenHeader
	Params  []string
	Cookies []string

	Forward       bool   // the application gets the token too
	PayloadHeader string // lower case; gets the payload in base64; empty: none does
	Claims        []ClaimHeader
	Lists         []string // claims whose text is a list with spaces in between, sorted
}

// TokenKeys is the keys that an issuer signs with. Without any, none of its tokens is valid.
type TokenKeys struct {
	Set  string // a JSON Web Key Set of RFC 7517, with nothing in it but public and shared keys
	From KeysSource
}

// KeysSource is where proxies get keys; zero: nowhere.
type KeysSource struct {
	URI     string
	Host    string // of the URI
	Port    uint16
	TLS     bool
	Timeout time.Duration
}

// ClusterName is of the servers that have the keys.
func (s *KeysSource) ClusterName() string {
	scheme := "http"
	if s.TLS {
		scheme = "https"
	}
	return "keys|" + scheme + "|" + strconv.Itoa(int(s.Port)) + "|" + s.Host
}

// TokenHeader is a header that tokens come in.
type TokenHeader struct {
	Name   string // lower case
	Prefix string // before the token
}

// ClaimHeader is a header that gets a claim of a valid token.
type ClaimHeader struct {
	Header string // lower case
	Claim  string // with dots between the names of claims inside claims
}

// Tokens is the tokens that a workload looks at, with one rule for each issuer.
type Tokens struct {
	Rules   []TokenRule // sorted by issuer
	Origins []Origin    // of the objects that they come from, sorted
}

// Sources is where keys are fetched from, sorted by the name of the cluster, each once.
// Of several that share one, the longest timeout counts.
func (t *Tokens) Sources() []KeysSource {
	var out []KeysSource
	for i := range t.Rules {
		if from := t.Rules[i].Keys.From; from != (KeysSource{}) {
			from.URI = ""
			out = append(out, from)
		}
	}
	slices.SortFunc(out, func(a, b KeysSource) int {
		return cmp.Or(strings.Compare(a.ClusterName(), b.ClusterName()), cmp.Compare(b.Timeout, a.Timeout))
	})
	return slices.CompactFunc(out, func(a, b KeysSource) bool { return a.ClusterName() == b.ClusterName() })
}

// ClaimPrefix is before the names of claims among the headers of a match: a claim of a
// valid token is compared as a header is.
const ClaimPrefix = "@request.auth.claims"

// ClaimName is the name of a claim, inside of those before it: PREFIX[OUTER][INNER].
// None of them has brackets.
func ClaimName(path ...string) string { return ClaimPrefix + "[" + strings.Join(path, "][") + "]" }

// Claim is the claim that a match looks at, inside of those before it; nil for a header.
func (h *HeaderMatch) Claim() []string {
	name, ok := strings.CutPrefix(h.Name, ClaimPrefix+"[")
	if !ok {
		return nil
	}
	return strings.Split(strings.TrimSuffix(name, "]"), "][")
}

// AsksForClaims tells whether a match looks at claims.
func (m *Match) AsksForClaims() bool {
	for i := range m.Headers {
		if m.Headers[i].Claim() != nil {
			return true
		}
	}
	return false
}

// needsClaims tells whether no request without a token fulfils a match.
func (m *Match) needsClaims() bool {
	for i := range m.Headers {
		if h := &m.Headers[i]; h.Claim() != nil && !h.Invert {
			return true
		}
	}
	return false
}
