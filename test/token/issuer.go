// SPDX-License-Identifier: Apache-2.0

// Package token makes tokens of users for tests.
package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"testing"
	"time"
)

// Issuer signs tokens.
type Issuer struct {
	t    testing.TB
	Name string
	key  *ecdsa.PrivateKey
}

// NewIssuer is an issuer with a key of its own.
func NewIssuer(t testing.TB, name string) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{t, name, key}
}

// Claims is what a token says.
type Claims map[string]any

// JWKS is the issuer's public key, as a JSON Web Key Set.
func (i *Issuer) JWKS() string {
	point, err := i.key.PublicKey.Bytes()
	if err != nil {
		i.t.Fatal(err)
	}
	return string(i.json(map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}}))
}

// Token is a token for an hour, unless the claims say otherwise.
func (i *Issuer) Token(claims Claims) string {
	all := Claims{"iss": i.Name, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(i.json(all))
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		i.t.Fatal(err)
	}
	signature := make([]byte, 64)
	for at, n := range map[int]*big.Int{0: r, 32: s} {
		n.FillBytes(signature[at : at+32])
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// Bearer is the header of a request with a token.
func (i *Issuer) Bearer(claims Claims) http.Header {
	return http.Header{"Authorization": {"Bearer " + i.Token(claims)}}
}

func (i *Issuer) json(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		i.t.Fatal(err)
	}
	return out
}
