// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshwright/meshwright/test/cluster/pki"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	authority, err := pki.Open(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kubeconfig")
	if err := Write(path, "east", "https://10.1.0.1:6443", "admin", authority); err == nil {
		t.Error("no error for a user without a certificate")
	}
	if err := authority.Ensure("admin", pki.Identity{Name: "admin"}); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, "east", "https://10.1.0.1:6443", "admin", authority); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(authority.CertFile("admin"))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.1.0.1:6443" || string(config.CAData) != string(authority.CertPEM()) || string(config.CertData) != string(cert) {
		t.Errorf("the kubeconfig says %s with other certificates than were given", config.Host)
	}
	before, err := os.Stat(path)
	if err != nil || before.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v (%v), want 0600: it holds a key", before.Mode(), err)
	}
	if err := Write(path, "east", "https://10.1.0.1:6443", "admin", authority); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("an unchanged kubeconfig was written again (%v)", err)
	}
}
