// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPartsOfTheRepository: the versions come from the nested modules, so that
// a raised dependency raises what the cluster runs.
func TestPartsOfTheRepository(t *testing.T) {
	parts, err := Parts("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if p.Version == "" || len(p.Programs) == 0 || p.dir == "" {
			t.Errorf("%s is not built: %+v", p.Name, p)
		}
		if len(p.packages) != len(p.Programs) {
			t.Errorf("%s: %d packages for %d programs", p.Name, len(p.packages), len(p.Programs))
		}
		if _, err := p.stamp(".."); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(parts[0].ldflags, "gitVersion="+parts[0].Version) {
		t.Errorf("kubernetes would not report its version: %s", parts[0].ldflags)
	}
}

func TestPinnedVersion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "go.mod")
	write(t, file, "module x\n\nrequire example.com/a v1.2.3\n\nrequire (\n\texample.com/ab v9.9.9\n\texample.com/b v2.0.0 // indirect\n)\n")
	for module, want := range map[string]string{"example.com/a": "v1.2.3", "example.com/b": "v2.0.0"} {
		if got, err := pinnedVersion(file, module); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", module, got, err, want)
		}
	}
	if _, err := pinnedVersion(file, "example.com/c"); err == nil {
		t.Error("a module that is not required has a version")
	}
}

// repository is a stand-in for test/cluster with one part that is quick to build.
func repository(t *testing.T) (*Cache, string) {
	t.Helper()
	source := t.TempDir()
	write(t, filepath.Join(source, "tool", "go.mod"), "module example.com/tool\n\ngo 1.26\n")
	write(t, filepath.Join(source, "tool", "main.go"), "package main\n\nfunc main() { println(1) }\n")
	var out bytes.Buffer
	c := &Cache{
		Dir: t.TempDir(), Source: source, Out: &out,
		parts: []Part{{Name: "tool", Version: "v1", Programs: []string{"tool"}, dir: "tool", packages: []string{"."}}},
	}
	return c, filepath.Join(source, "tool", "main.go")
}

func TestEnsureBuildsOnceAndAgainWhenSourcesChange(t *testing.T) {
	c, main := repository(t)
	ensure := func() os.FileInfo {
		t.Helper()
		if err := c.Ensure(context.Background()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(c.Path("tool"))
		if err != nil || info.Mode()&0o111 == 0 {
			t.Fatalf("no program was made: %v", err)
		}
		return info
	}
	first := ensure()
	if !os.SameFile(first, ensure()) {
		t.Error("an unchanged program was built again")
	}
	write(t, main, "package main\n\nfunc main() { println(2) }\n")
	second := ensure()
	if os.SameFile(first, second) {
		t.Error("a changed program was not built again")
	}
	// A build that fails names the reason and leaves the old program.
	write(t, main, "package main\n\nfunc main() { broken }\n")
	if err := c.Ensure(context.Background()); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want the compiler's words", err)
	}
	kept, err := os.Stat(c.Path("tool"))
	if err != nil || !os.SameFile(second, kept) {
		t.Errorf("the old program is gone (%v)", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(c.Path("tool")), ".new-*")); len(left) > 0 {
		t.Errorf("the failed build left %v", left)
	}
}

func TestFullDiskIsExplained(t *testing.T) {
	err := noSpace(fmt.Errorf("building kubernetes: exit status 1: write /x: %w", syscall.ENOSPC), "/cache")
	if err == nil || !strings.Contains(err.Error(), "/cache") || !strings.Contains(err.Error(), "MESHWRIGHT_CACHE") {
		t.Errorf("got %v, want the directory and the remedy", err)
	}
	other := errors.New("syntax error")
	if noSpace(other, "/cache") != other || noSpace(nil, "/cache") != nil {
		t.Error("another error was changed")
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
