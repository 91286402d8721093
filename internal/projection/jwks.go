// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxKeySet bounds the text of a key set: those of the largest issuers, with the
	// certificates of their keys, have a tenth of it.
	maxKeySet = 256 << 10
	maxKeys   = 100
	// minModulus and maxModulus bound RSA keys, in bytes: what is shorter can be
	// broken, and what is longer can be used to keep proxies busy.
	minModulus = 128
	maxModulus = 1024
)

// jwk is the members of a JSON Web Key that verification needs. RFC 7517, section 4,
// and RFC 7518, section 6.
type jwk struct {
	Kty string `json:"kty"`
	Kid string `json:"kid,omitempty"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
	Crv string `json:"crv,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	K   string `json:"k,omitempty"`
}

// curve is what a curve's keys sign with and how long their numbers are, in bytes.
type curve struct {
	alg   string
	size  int
	point ecdh.Curve // nil: keys have one number, which is not checked
}

var curves = map[string]curve{
	"P-256":   {"ES256", 32, ecdh.P256()},
	"P-384":   {"ES384", 48, ecdh.P384()},
	"P-521":   {"ES512", 66, ecdh.P521()},
	"Ed25519": {"EdDSA", 32, nil},
}

var (
	rsaAlgs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	octAlgs = []string{"HS256", "HS384", "HS512"}
)

// exponents is the public exponents of RSA keys that proxies take: they refuse the whole
// set for any other, and with it all that they would verify.
var exponents = []string{"\x03", "\x01\x00\x01"}

// keySet reads a JSON Web Key Set and writes it again with the keys that proxies can
// use, and of them only what verification needs: what is written in any other way must
// not reach them. The texts in left are why keys are left out.
func keySet(text string) (set string, left []string, err error) {
	if len(text) > maxKeySet {
		return "", nil, fmt.Errorf("is longer than %d bytes; name only the keys that are in use", maxKeySet)
	}
	var in struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return "", nil, errors.New(`is no JSON Web Key Set, which is a JSON object with a list "keys"`)
	}
	switch {
	case len(in.Keys) == 0:
		return "", nil, errors.New(`has no keys; list them under "keys"`)
	case len(in.Keys) > maxKeys:
		return "", nil, fmt.Errorf("has %d keys; at most %d are possible", len(in.Keys), maxKeys)
	}
	var keys []jwk
	for i, raw := range in.Keys {
		k, err := key(raw)
		if err != nil {
			left = append(left, fmt.Sprintf("keys[%d] %v", i, err))
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return "", nil, fmt.Errorf("has no key that can be used: %s", strings.Join(left[:min(len(left), 3)], "; "))
	}
	out, err := json.Marshal(map[string][]jwk{"keys": keys})
	return string(out), left, err
}

// key checks one key. Errors do not repeat what is in it: it may be a secret.
func key(raw json.RawMessage) (jwk, error) {
	var k jwk
	if err := json.Unmarshal(raw, &k); err != nil {
		return jwk{}, errors.New("is no JSON object of texts")
	}
	if k.Use != "" && k.Use != "sig" {
		return jwk{}, errors.New(`is not for signatures: its "use" is not "sig"`)
	}
	k.Use = ""
	switch k.Kty {
	case "RSA":
		return rsaKey(k)
	case "EC", "OKP":
		return curveKey(k)
	case "oct":
		return sharedKey(k)
	}
	return jwk{}, errors.New(`has a "kty" other than RSA, EC, OKP and oct`)
}

func rsaKey(k jwk) (jwk, error) {
	if k.Alg != "" && !slices.Contains(rsaAlgs, k.Alg) {
		return jwk{}, errors.New(`has an "alg" that is none of ` + strings.Join(rsaAlgs, ", "))
	}
	n, ok := positive(k.N)
	switch e, known := positive(k.E); {
	case !ok || len(n) < minModulus || len(n) > maxModulus:
		return jwk{}, fmt.Errorf(`needs an "n" of %d to %d bits in base64url`, minModulus*8, maxModulus*8)
	case n[len(n)-1]%2 == 0:
		return jwk{}, errors.New(`has an "n" that is even, and so no product of two primes`)
	case !known || !slices.Contains(exponents, string(e)):
		return jwk{}, errors.New(`needs an "e" of 3 or 65537 in base64url: proxies take no other`)
	}
	return jwk{Kty: k.Kty, Kid: k.Kid, Alg: k.Alg, N: trimmed(k.N), E: trimmed(k.E)}, nil
}

func curveKey(k jwk) (jwk, error) {
	c, ok := curves[k.Crv]
	if !ok || (c.point == nil) != (k.Kty == "OKP") {
		return jwk{}, errors.New(`has a "crv" other than P-256, P-384, P-521 and, with kty OKP, Ed25519`)
	}
	if k.Alg != "" && k.Alg != c.alg {
		return jwk{}, errors.New(`has an "alg" other than ` + c.alg)
	}
	x, ok := decoded(k.X)
	if !ok || len(x) != c.size {
		return jwk{}, fmt.Errorf(`needs an "x" of %d bytes in base64url`, c.size)
	}
	out := jwk{Kty: k.Kty, Kid: k.Kid, Alg: k.Alg, Crv: k.Crv, X: trimmed(k.X)}
	if c.point == nil {
		return out, nil
	}
	y, ok := decoded(k.Y)
	if !ok || len(y) != c.size || !onCurve(c.point, x, y) {
		return jwk{}, fmt.Errorf(`needs a "y" of %d bytes in base64url, with which it is a point of the curve`, c.size)
	}
	out.Y = trimmed(k.Y)
	return out, nil
}

// onCurve tells whether two numbers are a point of a curve.
func onCurve(c ecdh.Curve, x, y []byte) bool {
	_, err := c.NewPublicKey(slices.Concat([]byte{4}, x, y)) // 4: both numbers follow
	return err == nil
}

func sharedKey(k jwk) (jwk, error) {
	if k.Alg != "" && !slices.Contains(octAlgs, k.Alg) {
		return jwk{}, errors.New(`has an "alg" that is none of ` + strings.Join(octAlgs, ", "))
	}
	if secret, ok := decoded(k.K); !ok || len(secret) == 0 || len(secret) > maxModulus {
		return jwk{}, fmt.Errorf(`needs a "k" of 1 to %d bytes in base64url`, maxModulus)
	}
	return jwk{Kty: k.Kty, Kid: k.Kid, Alg: k.Alg, K: trimmed(k.K)}, nil
}

// decoded reads base64url with or without padding.
func decoded(s string) ([]byte, bool) {
	out, err := base64.RawURLEncoding.DecodeString(trimmed(s))
	return out, err == nil
}

func trimmed(s string) string { return strings.TrimRight(s, "=") }

// positive is decoded without zeros in front.
func positive(s string) ([]byte, bool) {
	out, ok := decoded(s)
	for len(out) > 0 && out[0] == 0 {
		out = out[1:]
	}
	return out, ok
}
