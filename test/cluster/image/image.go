// SPDX-License-Identifier: Apache-2.0

// Package image makes the container images that the local cluster itself
// needs: one static program on an empty base.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Program describes an image with one program.
type Program struct {
	// Tag is the image's full name with tag.
	Tag string
	// File is the program's path on this machine; it lands in /usr/local/bin.
	File string
	// User is the numeric user that it runs as.
	User string
}

// Write writes the image as a tarball to the file target, unless target is
// newer than the program.
func Write(p Program, target string) error {
	if fresh(p.File, target) {
		return nil
	}
	image, err := build(p)
	if err != nil {
		return fmt.Errorf("build the image %s: %w", p.Tag, err)
	}
	tag, err := name.NewTag(p.Tag)
	if err != nil {
		return fmt.Errorf("name the image %s: %w", p.Tag, err)
	}
	// Written aside and renamed: another cluster may be reading the old one.
	f, err := os.CreateTemp(filepath.Dir(target), ".image-*")
	if err != nil {
		return fmt.Errorf("write the image %s: %w", p.Tag, err)
	}
	defer os.Remove(f.Name())
	err = tarball.Write(tag, image, f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("write the image %s to %s: %w", p.Tag, target, err)
	}
	return nil
}

func fresh(program, target string) bool {
	from, err := os.Stat(program)
	if err != nil {
		return false
	}
	to, err := os.Stat(target)
	return err == nil && to.Size() > 0 && to.ModTime().After(from.ModTime())
}

func build(p Program) (v1.Image, error) {
	content, err := os.ReadFile(p.File)
	if err != nil {
		return nil, err
	}
	program := "/usr/local/bin/" + filepath.Base(p.File)
	layer, err := archive(program, content)
	if err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer)), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Entrypoint = []string{program}
	config.Config.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	config.Config.User = p.User
	config.Config.WorkingDir = "/"
	return mutate.ConfigFile(image, config)
}

// archive is a tar with the program and the directories above it, with fixed
// times and owners, so that equal programs make equal images.
func archive(program string, content []byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	epoch := time.Unix(0, 0)
	dirs := []string{"usr/", "usr/local/", "usr/local/bin/", "tmp/"}
	for _, dir := range dirs {
		mode := int64(0o755)
		if dir == "tmp/" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode, ModTime: epoch}); err != nil {
			return nil, err
		}
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: program[1:], Mode: 0o755, Size: int64(len(content)), ModTime: epoch}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
