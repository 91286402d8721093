// SPDX-License-Identifier: Apache-2.0

package ir

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
	Set string // a JSON Web Key Set of RFC 7517, with nothing in it but public and shared keys
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
