// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// inModule runs the test in the module's root, where the specs' packages are.
func inModule(t *testing.T) { t.Helper(); t.Chdir(filepath.Join("..", "..")) }

func testBuilder(t *testing.T) *builder {
	t.Helper()
	cache := t.TempDir()
	if err := os.Mkdir(filepath.Join(cache, "layers"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &builder{options: options{registry: "registry.example/mesh", tag: "v9", cache: cache}}
}

func echoSpec(t *testing.T) spec {
	t.Helper()
	s, err := selected([]string{"echo"})
	if err != nil || len(s) != 1 {
		t.Fatalf("selected = %v, %v", s, err)
	}
	return s[0]
}

// Two builds from nothing, with caches of their own, must not differ in a byte.
func TestBuildIsReproducible(t *testing.T) {
	inModule(t)
	var digests []string
	for range 2 {
		img, err := testBuilder(t).image(t.Context(), echoSpec(t))
		if err != nil {
			t.Fatal(err)
		}
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds of one source: %s and %s", digests[0], digests[1])
	}
}

func TestImageFile(t *testing.T) {
	inModule(t)
	b, s := testBuilder(t), echoSpec(t)
	img, err := b.image(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "echo.tar")
	digest, err := writeFile(img, b.reference(s), path)
	if err != nil || !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("digest = %q, %v", digest, err)
	}
	tag, err := name.NewTag("registry.example/mesh/echo:v9")
	if err != nil {
		t.Fatal(err)
	}
	got, err := tarball.ImageFromPath(path, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := got.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/usr/local/bin/echo"}) || config.OS != "linux" {
		t.Errorf("config = %+v", c)
	}
	if c.Labels["org.opencontainers.image.version"] != "v9" || c.Labels["org.opencontainers.image.licenses"] != "Apache-2.0" {
		t.Errorf("labels = %v", c.Labels)
	}
	layers, err := got.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v; want system files and binary", len(layers), err)
	}
	names := map[string]bool{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !h.ModTime.IsZero() && h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 {
				t.Errorf("%s: time %s, owner %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
			}
			names[h.Name] = true
		}
		r.Close()
	}
	for _, want := range []string{"etc/passwd", "tmp/", "usr/local/bin/", "usr/local/bin/echo"} {
		if !names[want] {
			t.Errorf("%s is not in the image", want)
		}
	}
}

func TestLayerIsCompressedOnce(t *testing.T) {
	dir := t.TempDir()
	files := []file{{name: "/a/b", mode: 0o644, content: []byte("x")}, {name: "/a/c", mode: 0o777, link: "b"}}
	first, err := newLayer(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first.path)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files) // order is not content
	second, err := newLayer(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(second.path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || first.digest != second.digest {
		t.Error("the same content was compressed again")
	}
	files[0].mode = 0o600
	if third, err := newLayer(dir, files); err != nil || third.diffID == first.diffID {
		t.Errorf("another mode gave the same layer (%v)", err)
	}
}

// The closure of a dynamic binary, copied elsewhere, must be enough to run it.
func TestClosureIsComplete(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	libs, err := closure([]string{shell})
	if err != nil {
		t.Fatal(err)
	}
	root, loader := t.TempDir(), ""
	var dirs []string
	for _, l := range libs {
		data, err := os.ReadFile(l.source)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(root, l.name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o755); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, filepath.Dir(target))
		if strings.Contains(filepath.Base(l.name), "ld-linux") {
			loader = target
		}
	}
	cmd := exec.Command(loader, "--inhibit-cache", "--library-path", strings.Join(dirs, ":"), "--list", shell)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "not found") {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if _, path, ok := strings.Cut(line, "=> "); ok && strings.HasPrefix(path, "/") && !strings.HasPrefix(path, root) {
			t.Errorf("taken from the system, not from the closure: %s", line)
		}
	}
}

func TestUnknownNameIsRefused(t *testing.T) {
	if _, err := selected([]string{"echo", "ehco"}); err == nil || !strings.Contains(err.Error(), "controlplane") {
		t.Errorf("error = %v, want one that lists the names", err)
	}
}

func TestMissingLibraryIsNamed(t *testing.T) {
	if _, err := locate("libnothing.so.9"); err == nil || !strings.Contains(err.Error(), "libnothing.so.9") {
		t.Errorf("error = %v", err)
	}
}

// What is pushed can be pulled, and is the image that was built.
func TestPushWritesToTheRegistry(t *testing.T) {
	inModule(t)
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	o := testBuilder(t).options
	o.registry, o.output, o.plain = strings.TrimPrefix(srv.URL, "http://")+"/mesh", t.TempDir(), true
	if err := pushAll(t.Context(), o, []string{"echo"}); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(o.registry+"/echo:v9", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	built, err := (&builder{options: o}).image(t.Context(), echoSpec(t))
	if err != nil {
		t.Fatal(err)
	}
	want, err := built.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := got.Digest(); err != nil || digest != want {
		t.Errorf("the registry has %s (%v), want %s", digest, err, want)
	}
	o.registry = "127.0.0.1:1/mesh"
	if err := pushAll(t.Context(), o, []string{"echo"}); err == nil || !strings.Contains(err.Error(), "logged in") {
		t.Errorf("a registry that is not there: %v, want an error with a remedy", err)
	}
}
