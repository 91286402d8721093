// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPathUsesWhatIsCached(t *testing.T) {
	cache := t.TempDir()
	want := filepath.Join(cache, "bin", "envoy-"+Version, "envoy")
	if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, []byte("binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "") // a download would fail
	got, err := Path(cache)
	if err != nil || got != want {
		t.Fatalf("Path = %q, %v; want %q", got, err, want)
	}
}

func TestPathWithoutPipSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := Path(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "python3-pip") {
		t.Fatalf("error = %v, want one that names python3-pip", err)
	}
}

func TestVerifyRefusesOtherBytes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.whl")
	if err := os.WriteFile(file, []byte("not the wheel"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := verify(file, Current.digest); err == nil || !strings.Contains(err.Error(), Current.digest) {
		t.Fatalf("error = %v, want one that names the pinned digest", err)
	}
}

func TestExtract(t *testing.T) {
	dir := t.TempDir()
	archive := filepath.Join(dir, "a.whl")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	m, err := w.Create(member)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Write([]byte("elf")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "envoy")
	if err := extract(archive, member, target); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(target)
	if err != nil || string(got) != "elf" {
		t.Fatalf("content = %q, %v", got, err)
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Fatalf("mode = %v, %v; want 0755", info.Mode(), err)
	}
	if err := extract(archive, "absent", filepath.Join(dir, "other")); err == nil {
		t.Fatal("a missing member was accepted")
	}
}
