// SPDX-License-Identifier: Apache-2.0

// Command bundle writes what the Operator Lifecycle Manager installs the operator from, out of the operator's chart and
// its CRDs: the bundle, a file-based catalog that leads to it, and the CatalogSources of config/olm.
//
//	go run ./hack/bundle                                    writes bundle and config/olm, images by tag
//	go run ./hack/bundle -into dist/olm -digests dist/images -images
//	                                                        the same elsewhere, images by digest, and both as images
//
// Flags name the registry and the tag.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	into, digests string
	images, push  bool
	release
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.into, "into", ".", "directory that bundle and config/olm are written under")
	flag.StringVar(&o.digests, "digests", "", "directory with the .digest files of hack/images; images are named by digest then")
	flag.BoolVar(&o.images, "images", false, "also write the images operator-bundle.tar and operator-catalog.tar into the directory")
	flag.BoolVar(&o.push, "push", false, "also write both images to the registry, with the credentials of ~/.docker/config.json")
	flag.StringVar(&o.registry, "registry", defaultRegistry, "registry and path before an image's name")
	flag.StringVar(&o.tag, "tag", "", "tag of all images; empty: the version of the operator's chart")
	flag.Parse()
	if o.digests != "" {
		if err := o.readDigests(o.digests); err != nil {
			return err
		}
	}
	rendered, err := readSources(".", o.release)
	if err != nil {
		return err
	}
	files, err := layout(rendered)
	if err != nil {
		return err
	}
	if err := write(o.into, files); err != nil {
		return err
	}
	if o.images || o.push {
		return publish(ctx, o, rendered, files)
	}
	return nil
}

// layout returns every file by its path.
func layout(s sources) (map[string][]byte, error) {
	service, err := clusterServiceVersion(s)
	if err != nil {
		return nil, err
	}
	files, err := bundleFiles(s, service)
	if err != nil {
		return nil, err
	}
	own, err := bundleImage(files)
	if err != nil {
		return nil, err
	}
	reference, err := s.reference(bundleName, own)
	if err != nil {
		return nil, err
	}
	for _, pkg := range packages {
		text, err := catalog(pkg, reference, service)
		if err != nil {
			return nil, err
		}
		files["bundle/catalog/"+pkg+"/catalog.yaml"] = text
	}
	content, err := catalogImage(files)
	if err != nil {
		return nil, err
	}
	if reference, err = s.reference(catalogName, content); err != nil {
		return nil, err
	}
	for _, place := range sourcePlaces {
		text, err := source(place, reference)
		if err != nil {
			return nil, err
		}
		files[place.file] = text
	}
	return files, nil
}

// write writes the files; what an earlier run left in bundle goes, so that a kind that was removed leaves no file.
func write(root string, files map[string][]byte) error {
	for _, part := range []string{"manifests", "metadata", "catalog"} {
		if err := os.RemoveAll(filepath.Join(root, "bundle", part)); err != nil {
			return fmt.Errorf("remove what was written before: %w", err)
		}
	}
	for _, name := range sortedNames(files) {
		target := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("make the directory of %s: %w", target, err)
		}
		if err := os.WriteFile(target, files[name], 0o644); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

func sortedNames(files map[string][]byte) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
