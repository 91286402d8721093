// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"testing"
)

func TestAllocated(t *testing.T) {
	for text, want := range map[string]string{
		``:                  "nil",
		`{"conditions":[]}`: "nil",
		`{"addresses":"x"}`: "nil",
		`{"addresses":[{"value":"x","host":"a.b"}]}`:                                                             "nil",
		`{"addresses":[{"value":"2001:2::1","host":"B.c"},{"value":"240.240.0.2","host":"a.b"},{"host":"d.e"}]}`: "[{a.b 240.240.0.2} {b.c 2001:2::1}]",
	} {
		got := "nil"
		if out := Allocated([]byte(text)); out != nil {
			got = fmt.Sprint(out.Addresses)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
