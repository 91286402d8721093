// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// file is one entry of a layer. Exactly one of source, link, content and dir
// says what it is.
type file struct {
	name    string // absolute path in the image
	mode    int64
	source  string // path of the file to copy
	link    string // target of a symbolic link
	content []byte
	dir     bool
}

// layer is a compressed layer in the cache directory.
type layer struct {
	path           string
	diffID, digest v1.Hash
	size           int64
}

var _ v1.Layer = (*layer)(nil)

// newLayer writes files as a layer below dir, or finds the one that was
// written before: compressed layers are kept under the digest of their plain
// content, so a large file that did not change is not compressed again.
func newLayer(dir string, files []file) (*layer, error) {
	h := sha256.New()
	if err := writeTar(h, files); err != nil {
		return nil, err
	}
	l := &layer{diffID: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}
	l.path = filepath.Join(dir, l.diffID.Hex+".tar.gz")
	if _, err := os.Stat(l.path); errors.Is(err, os.ErrNotExist) {
		if err := compress(l.path, files); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("open the cached layer: %w", err)
	}
	defer f.Close()
	l.digest, l.size, err = v1.SHA256(f)
	if err != nil {
		return nil, fmt.Errorf("read the cached layer %s: %w", l.path, err)
	}
	return l, nil
}

func compress(path string, files []file) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".layer-")
	if err != nil {
		return fmt.Errorf("create a temporary file: %w", err)
	}
	defer os.Remove(tmp.Name())
	z := gzip.NewWriter(tmp)
	err = writeTar(z, files)
	if err = errors.Join(err, z.Close(), tmp.Close()); err != nil {
		return fmt.Errorf("compress the layer (is the disk full?): %w", err)
	}
	return os.Rename(tmp.Name(), path)
}

// writeTar writes files sorted by name, with the directories above them, owned
// by root and dated 1970, so that equal content gives equal bytes.
func writeTar(w io.Writer, files []file) error {
	files = withParents(files)
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := writeEntry(tw, f); err != nil {
			return fmt.Errorf("add %s: %w", f.name, err)
		}
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, f file) error {
	h := &tar.Header{Name: strings.TrimPrefix(f.name, "/"), Mode: f.mode, Format: tar.FormatUSTAR}
	var body io.Reader = bytes.NewReader(f.content)
	switch {
	case f.dir:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case f.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
	case f.source != "":
		src, err := os.Open(f.source)
		if err != nil {
			return err
		}
		defer src.Close()
		info, err := src.Stat()
		if err != nil {
			return err
		}
		h.Typeflag, h.Size, body = tar.TypeReg, info.Size(), src
	default:
		h.Typeflag, h.Size = tar.TypeReg, int64(len(f.content))
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(tw, body)
	return err
}

// withParents sorts files and adds the directories that they need.
func withParents(files []file) []file {
	seen := map[string]bool{"/": true}
	for _, f := range files {
		seen[f.name] = true
	}
	out := slices.Clone(files)
	for _, f := range files {
		for dir := path.Dir(f.name); !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			out = append(out, file{name: dir, mode: 0o755, dir: true})
		}
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return out
}

// merge joins lists of files; of two with one name the first stays.
func merge(lists ...[]file) []file {
	seen := map[string]bool{}
	var out []file
	for _, list := range lists {
		for _, f := range list {
			if !seen[f.name] {
				seen[f.name] = true
				out = append(out, f)
			}
		}
	}
	return out
}

// Digest is the digest of the compressed layer.
func (l *layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID is the digest of the plain tar stream.
func (l *layer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size is the number of compressed bytes.
func (l *layer) Size() (int64, error) { return l.size, nil }

// MediaType is a gzip-compressed OCI layer.
func (l *layer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Compressed opens the file in the cache.
func (l *layer) Compressed() (io.ReadCloser, error) { return os.Open(l.path) }

// Uncompressed opens the plain tar stream.
func (l *layer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}
