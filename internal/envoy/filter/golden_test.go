// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/golden"
)

const keySet = `{"keys":[{"kty":"EC","kid":"a","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

func tokens(routed bool, rules ...ir.TokenRule) func() golden.Message {
	return func() golden.Message { return Tokens(&ir.Tokens{Rules: rules}, routed) }
}

func TestGolden(t *testing.T) {
	golden.Messages(t, map[string]func() golden.Message{
		"tokens": tokens(false, ir.TokenRule{
			Issuer: "https://issuer.example.com", Keys: ir.TokenKeys{Set: keySet}, Lists: []string{"permission", "scope"},
		}),
		"tokens-routed": tokens(true, ir.TokenRule{
			Issuer: "https://issuer.example.com", Audiences: []string{"a", "b"}, Keys: ir.TokenKeys{Set: keySet},
			Headers: []ir.TokenHeader{{Name: "x-token", Prefix: "Bearer "}, {Name: "x-other"}}, Params: []string{"token"}, Cookies: []string{"session"},
			Forward: true, PayloadHeader: "x-payload", Claims: []ir.ClaimHeader{{Header: "x-group", Claim: "a.group"}}, Lists: []string{"roles"},
		}),
		"tokens-remote": tokens(false, ir.TokenRule{
			Issuer: "https://issuer.example.com",
			Keys: ir.TokenKeys{From: ir.KeysSource{
				URI: "https://issuer.example.com/jwks", Host: "issuer.example.com", Port: 443, TLS: true, Timeout: 5 * time.Second,
			}},
		}),
		"tokens-without-keys": tokens(false, ir.TokenRule{Issuer: "https://issuer.example.com"}, ir.TokenRule{}),
	})
}

// TestNobodyHasTheKey: who chose x otherwise could know the private key.
func TestNobodyHasTheKey(t *testing.T) {
	var set struct{ Keys []struct{ X, Y string } }
	if err := json.Unmarshal([]byte(noKeys), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%d keys (%v)", len(set.Keys), err)
	}
	x, errX := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	y, errY := base64.RawURLEncoding.DecodeString(set.Keys[0].Y)
	if _, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, x, y)); errors.Join(errX, errY, err) != nil {
		t.Errorf("it is no point of the curve: %v", errors.Join(errX, errY, err))
	}
	if want := sha256.Sum256([]byte("no token is valid")); string(x) != string(want[:]) {
		t.Errorf("x is %x, and not the digest %x", x, want)
	}
}
