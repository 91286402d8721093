// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/meshwright/meshwright/hack/envoy"
)

const (
	source = "https://github.com/meshwright/meshwright"
	binDir = "/usr/local/bin"
)

// builder makes images from specs. Layers go from what changes least to what
// changes most: system files, libraries, Envoy, our binary.
type builder struct{ options options }

func (b *builder) reference(s spec) string {
	return b.options.registry + "/" + s.name + ":" + b.options.tag
}

// image builds s. Equal sources give an equal digest: layers are sorted, carry
// no times and no owners but root, and the configuration has a fixed date.
func (b *builder) image(ctx context.Context, s spec) (v1.Image, error) {
	groups, cleanup, err := b.files(ctx, s)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	for _, g := range groups {
		l, err := newLayer(filepath.Join(b.options.cache, "layers"), g.files)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", g.title, err)
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer:   l,
			History: v1.History{CreatedBy: g.title, Created: v1.Time{Time: time.Unix(0, 0).UTC()}},
		})
		if err != nil {
			return nil, fmt.Errorf("append layer %s: %w", g.title, err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.OS, config.Architecture = "linux", "amd64"
	config.Config = v1.Config{
		User:       strconv.Itoa(s.user) + ":" + strconv.Itoa(s.user),
		Entrypoint: []string{binDir + "/" + s.command},
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		WorkingDir: "/",
		Labels:     b.labels(s),
	}
	return mutate.ConfigFile(img, config)
}

// labels are those of https://github.com/opencontainers/image-spec/blob/main/annotations.md.
func (b *builder) labels(s spec) map[string]string {
	l := map[string]string{
		"org.opencontainers.image.title":    s.title,
		"org.opencontainers.image.source":   source,
		"org.opencontainers.image.url":      source,
		"org.opencontainers.image.vendor":   "Meshwright",
		"org.opencontainers.image.version":  b.options.tag,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	if b.options.revision != "" {
		l["org.opencontainers.image.revision"] = b.options.revision
	}
	if s.proxy {
		l["dev.meshwright.envoy.version"] = envoy.Version
	}
	return l
}

// group is the content of one layer.
type group struct {
	title string
	files []file
}

// files gathers the layers' content. cleanup removes the compiled binary, and
// may run once the image's layers are in the cache.
func (b *builder) files(ctx context.Context, s spec) (groups []group, cleanup func(), err error) {
	base, err := systemFiles()
	if err != nil {
		return nil, nil, err
	}
	groups = append(groups, group{title: "system files", files: base})
	if s.filter {
		tools, err := packetFilterFiles()
		if err != nil {
			return nil, nil, err
		}
		needing := binaries(tools)
		var own []file
		if s.proxy {
			path, err := envoy.Path(b.options.cache)
			if err != nil {
				return nil, nil, err
			}
			needing = append(needing, path)
			own = []file{{name: binDir + "/envoy", mode: 0o755, source: path}}
		}
		libs, err := closure(needing)
		if err != nil {
			return nil, nil, err
		}
		groups = append(groups, group{title: "libraries and iptables", files: merge(libs, tools)})
		if len(own) > 0 {
			groups = append(groups, group{title: "envoy " + envoy.Version, files: own})
		}
	}
	dir, err := os.MkdirTemp("", "meshwright-image-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	cleanup = func() { os.RemoveAll(dir) }
	binary := filepath.Join(dir, s.command)
	if err := b.compile(ctx, s.pkg, binary); err != nil {
		cleanup()
		return nil, nil, err
	}
	groups = append(groups, group{title: s.command, files: []file{{name: binDir + "/" + s.command, mode: 0o755, source: binary}}})
	return groups, cleanup, nil
}

// compile makes a static binary without anything of the place it was built in.
func (b *builder) compile(ctx context.Context, pkg, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+b.options.tag, "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", pkg, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// writeFile writes the image as a file that containerd, docker and podman
// import. A file that holds this very image already is left alone.
func writeFile(img v1.Image, reference, path string) (string, error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return "", fmt.Errorf("image reference (check IMAGE_REGISTRY and TAG): %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	mark := strings.TrimSuffix(path, ".tar") + ".digest"
	want := reference + "@" + digest.String() + "\n"
	if got, err := os.ReadFile(mark); err == nil && string(got) == want {
		if _, err := os.Stat(path); err == nil {
			return digest.String(), nil
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".image-")
	if err != nil {
		return "", fmt.Errorf("create a temporary file: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = tarball.Write(tag, img, tmp)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return "", fmt.Errorf("write the image (is the disk full?): %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return "", err
	}
	return digest.String(), os.WriteFile(mark, []byte(want), 0o644)
}
