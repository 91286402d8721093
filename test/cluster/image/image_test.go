// SPDX-License-Identifier: Apache-2.0

package image

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	program, target := filepath.Join(dir, "pause"), filepath.Join(dir, "image.tar")
	write := func(content string) string {
		t.Helper()
		if err := os.WriteFile(program, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(target, old, old); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := Write(Program{Tag: "meshwright.local/pause:v1", File: program, User: "65535"}, target); err != nil {
			t.Fatal(err)
		}
		tag, err := name.NewTag("meshwright.local/pause:v1")
		if err != nil {
			t.Fatal(err)
		}
		image, err := tarball.ImageFromPath(target, &tag)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65535" || config.Config.Entrypoint[0] != "/usr/local/bin/pause" || config.Architecture != "amd64" {
			t.Errorf("the image's configuration is %+v", config.Config)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return digest.String()
	}
	first := write("one")
	if again := write("one"); again != first {
		t.Errorf("equal programs made the images %s and %s", first, again)
	}
	if other := write("two"); other == first {
		t.Error("another program made the same image")
	}
	if err := Write(Program{Tag: "x", File: filepath.Join(dir, "none"), User: "1"}, filepath.Join(dir, "y.tar")); err == nil {
		t.Error("no error for a program that is not there")
	}
}

func TestWriteKeepsAFreshImage(t *testing.T) {
	dir := t.TempDir()
	p := Program{Tag: "meshwright.local/pause:v1", File: filepath.Join(dir, "pause"), User: "65535"}
	target := filepath.Join(dir, "image.tar")
	write := func() os.FileInfo {
		t.Helper()
		if err := Write(p, target); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(target)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if err := os.WriteFile(p.File, []byte("one"), 0o755); err != nil {
		t.Fatal(err)
	}
	// File times are coarse: make sure which one is newer.
	if err := os.Chtimes(p.File, time.Time{}, time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	first := write()
	if !os.SameFile(first, write()) {
		t.Error("a fresh image was written again")
	}
	if err := os.Chtimes(p.File, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if os.SameFile(first, write()) {
		t.Error("the image of an older program was kept")
	}
}
