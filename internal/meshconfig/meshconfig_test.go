// SPDX-License-Identifier: Apache-2.0

package meshconfig

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Config
		problem  string
	}{
		{"empty", "", Default(), ""},
		{
			"all", "trustDomain: example.org\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\naccessLogFile: /dev/stdout\n",
			Config{"example.org", OutboundTrafficPolicy{RegistryOnly}, "/dev/stdout"},
			"",
		},
		{"empty policy keeps the default", "outboundTrafficPolicy: {}\n", Default(), ""},
		{"trust domain", "trustDomain: a/b\n", Config{}, "trustDomain"},
		{"mode", "outboundTrafficPolicy: {mode: NO}\n", Config{}, "outboundTrafficPolicy.mode"},
		{"log file", "accessLogFile: /etc/passwd\n", Config{}, "accessLogFile"},
		{"unknown field", "enableTracing: true\n", Config{}, "enableTracing"},
		{"not YAML", "\t{", Config{}, "mesh configuration"},
		{"too large", strings.Repeat("#", maxBytes+1), Config{}, "larger"},
	} {
		got, err := Parse([]byte(c.in))
		if c.problem == "" && (err != nil || got != c.want) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
		if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestLoadWithoutFile(t *testing.T) {
	got, err := Load(filepath.Join(t.TempDir(), "none"))
	if err != nil || got != Default() {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}
