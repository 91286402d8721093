// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"strings"
	"testing"
)

// TestMarkIsOfTheRules: the mark is that of the same flags, whatever else is
// among the arguments, and of no others.
func TestMarkIsOfTheRules(t *testing.T) {
	of := func(arguments ...string) string {
		t.Helper()
		f, err := FromArguments(append([]string{Command}, arguments...))
		if err != nil {
			t.Fatal(err)
		}
		return f.mark()
	}
	same := of("--inbound-ports=80,443", "--exclude-inbound-ports=22")
	if got := of("--verify", "--exclude-inbound-ports=22", "--inbound-ports=80,443"); got != same {
		t.Errorf("other arguments and their order count: %s and %s", got, same)
	}
	if got := of("--inbound-ports=80,443", "--exclude-inbound-ports=22", "--outbound-capture-port=15001"); got != same {
		t.Errorf("a default that is said counts: %s and %s", got, same)
	}
	seen := map[string]string{"": same}
	for _, other := range []string{"--inbound-ports=80", "--proxy-uid=1000650001", "--exclude-interfaces=eth1", "--dns-capture-port=15053", "--include-outbound-cidrs=10.0.0.0/8"} {
		got := of(other)
		for before, mark := range seen {
			if got == mark {
				t.Errorf("%q and %q have the same mark", other, before)
			}
		}
		seen[other] = got
	}
	if len(same) > 255 || !strings.HasPrefix(same, "meshwright:") {
		t.Errorf("the mark %q is no alias of an interface", same)
	}
}

func TestFromArgumentsRefuses(t *testing.T) {
	for _, arguments := range [][]string{nil, {"proxy"}, {Command, "--proxy-uid=me"}} {
		if _, err := FromArguments(arguments); err == nil {
			t.Errorf("%q are taken", arguments)
		}
	}
	f, err := FromArguments([]string{Command, "--inbound-ports=http"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Apply(t.Context(), nil, true); err == nil || !strings.Contains(err.Error(), "--inbound-ports") {
		t.Errorf("got %v, want an error that names the flag", err)
	}
}
