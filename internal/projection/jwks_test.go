// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
)

// TestRSAKeysThatProxiesRefuse: Envoy refuses a set for any such key, so none may reach it.
func TestRSAKeysThatProxiesRefuse(t *testing.T) {
	text := func(b ...byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	odd, even := bytes.Repeat([]byte{0xc5}, 256), bytes.Repeat([]byte{0xc4}, 256)
	for name, c := range map[string]struct {
		n, e string
		want bool
	}{
		"65537":        {text(odd...), text(1, 0, 1), true},
		"3":            {text(odd...), text(3), true},
		"with zeros":   {text(append([]byte{0}, odd...)...), text(0, 1, 0, 1), true},
		"even modulus": {text(even...), text(1, 0, 1), false},
		"exponent 1":   {text(odd...), text(1), false},
		"exponent 17":  {text(odd...), text(17), false},
		"large":        {text(odd...), text(0xff, 0xff, 0xff, 0xff), false},
		"none":         {text(odd...), "", false},
	} {
		_, _, err := keySet(fmt.Sprintf(`{"keys":[{"kty":"RSA","n":%q,"e":%q}]}`, c.n, c.e))
		if got := err == nil; got != c.want {
			t.Errorf("%s: taken is %t, want %t (%v)", name, got, c.want, err)
		}
	}
}
