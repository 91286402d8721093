// SPDX-License-Identifier: Apache-2.0

package host

import (
	"net"
	"strings"
	"testing"
)

// TestErrorsAreOneLineWithTheRemedy holds the promise of docs/local-cluster.md.
func TestErrorsAreOneLineWithTheRemedy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	iptables := []Tool{{Name: "iptables", Package: "iptables"}, {Name: "iptables-restore", Package: "iptables"}, {Name: "ptp", Package: "containernetworking-plugins", Plugin: true}}
	for _, tc := range []struct {
		name  string
		err   error
		words []string
	}{
		{"other system", checkPlatform("darwin", "arm64"), []string{"linux/amd64", "darwin/arm64", "KUBECONFIG"}},
		{"other processor", checkPlatform("linux", "arm64"), []string{"linux/arm64"}},
		{"not root", checkRoot(1000), []string{"needs root", "user 1000", "sudo", "--bare"}},
		{"disk full", checkSpace("/data", 100<<20, 2<<30), []string{"/data", "100 MiB free", "2048 MiB are needed", "free some space"}},
		{"port taken", CheckPort(l.Addr().String()), []string{l.Addr().String(), "taken", "choose another port"}},
		{"no iptables on Debian", missingError(iptables, true), []string{"iptables, iptables-restore, ptp", "apt-get install iptables containernetworking-plugins"}},
		{"no iptables elsewhere", missingError(iptables, false), []string{"iptables", "your distribution's packages"}},
	} {
		if tc.err == nil {
			t.Errorf("%s: no error", tc.name)
			continue
		}
		text := tc.err.Error()
		if strings.Contains(text, "\n") {
			t.Errorf("%s: more than one line: %q", tc.name, text)
		}
		for _, w := range tc.words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q does not say %q", tc.name, text, w)
			}
		}
	}
}

func TestNothingIsRefusedWithoutReason(t *testing.T) {
	for name, err := range map[string]error{
		"platform": checkPlatform("linux", "amd64"), "root": checkRoot(0),
		"space": checkSpace("/", 2<<30, 2<<30), "port": CheckPort("127.0.0.1:0"),
		"space of a directory that is not there yet": CheckSpace(t.TempDir()+"/a/b/c", 1),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryToolHasAPackage(t *testing.T) {
	for _, tool := range Tools {
		if tool.Name == "" || tool.Package == "" {
			t.Errorf("tool %+v lacks its name or package", tool)
		}
	}
}
