// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"strings"
	"testing"
)

// TestSizeOfPrograms compares with what Envoy 1.40 said of the same expressions.
func TestSizeOfPrograms(t *testing.T) {
	for _, c := range []struct {
		regex string
		envoy int
	}{
		{"/0/[a-z]{1,100}", 206},
		{strings.Repeat("[^/]{1000}", 20), 40_004},
		{strings.Repeat(`\S{1000}`, 10), 40_004},
	} {
		if got := programSize(c.regex); got < c.envoy*9/10 || got > c.envoy*2 {
			t.Errorf("%.20s: %d instructions, Envoy says %d", c.regex, got, c.envoy)
		}
	}
}
