// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Names of the images that hold files for OLM and no program.
const (
	bundleName  = "operator-bundle"
	catalogName = "operator-catalog"
)

// bundleImage is what bundle.Dockerfile describes.
func bundleImage(files map[string][]byte) (v1.Image, error) {
	content := below(files, "bundle/manifests/", "manifests/")
	maps.Copy(content, below(files, "bundle/metadata/", "metadata/"))
	return fileImage(content, labels)
}

// catalogImage is what catalog.Dockerfile describes.
func catalogImage(files map[string][]byte) (v1.Image, error) {
	return fileImage(below(files, "bundle/catalog/", "configs/"), map[string]string{configsLabel: "/configs"})
}

// below returns the files under one directory as files under another.
func below(files map[string][]byte, from, to string) map[string][]byte {
	out := map[string][]byte{}
	for file, content := range files {
		if rest, found := strings.CutPrefix(file, from); found {
			out[to+rest] = content
		}
	}
	return out
}

// fileImage makes an image of one layer. Equal files give an equal digest.
func fileImage(files map[string][]byte, labels map[string]string) (v1.Image, error) {
	archive, err := pack(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil })
	if err != nil {
		return nil, fmt.Errorf("make layer: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configure image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Labels = "linux", "amd64", labels
	return mutate.ConfigFile(image, config)
}

// pack writes files and their directories as a tar archive, sorted and without times.
func pack(files map[string][]byte) ([]byte, error) {
	entries := map[string][]byte{}
	for file, content := range files {
		entries[file] = content
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			entries[dir+"/"] = nil
		}
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range sortedNames(entries) {
		header := &tar.Header{Name: file, Mode: 0o644, Size: int64(len(entries[file])), Typeflag: tar.TypeReg}
		if strings.HasSuffix(file, "/") {
			header.Mode, header.Typeflag = 0o755, tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("write archive: %w", err)
		}
		if _, err := w.Write(entries[file]); err != nil {
			return nil, fmt.Errorf("write archive: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return out.Bytes(), nil
}

func sortedKeys(in map[string]string) []string { return slices.Sorted(maps.Keys(in)) }

// publish writes both images as files, or to the registry.
func publish(ctx context.Context, o options, s sources, files map[string][]byte) error {
	for _, kind := range []struct {
		name  string
		image func(map[string][]byte) (v1.Image, error)
	}{{bundleName, bundleImage}, {catalogName, catalogImage}} {
		image, err := kind.image(files)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		tag, err := name.NewTag(s.registry + "/" + kind.name + ":" + s.tag)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		if o.images {
			if err := tarball.WriteToFile(filepath.Join(o.into, kind.name+".tar"), tag, image); err != nil {
				return fmt.Errorf("write %s: %w", kind.name, err)
			}
		}
		if o.push {
			if err := remote.Write(tag, image, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
				return fmt.Errorf("push %s (are you logged in to the registry?): %w", tag, err)
			}
		}
		digest, err := image.Digest()
		if err != nil {
			return fmt.Errorf("digest of %s: %w", kind.name, err)
		}
		fmt.Printf("%s@%s\n", tag, digest)
	}
	return nil
}
