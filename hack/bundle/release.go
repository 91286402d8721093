// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// defaultRegistry is where releases are published.
const defaultRegistry = "ghcr.io/meshwright"

// The images that the operator and the meshes that it installs run, by the names of hack/images.
var runtimeImages = []string{"operator", "controlplane", "proxy", "cni"}

// release says where images are and which.
type release struct {
	registry, tag string
	// digests are those of the runtime images by name; nil names images by their tag.
	digests map[string]string
}

// image returns the reference of a runtime image.
func (r release) image(image string) string {
	if digest, pinned := r.digests[image]; pinned {
		return r.registry + "/" + image + "@" + digest
	}
	return r.registry + "/" + image + ":" + r.tag
}

// reference returns the reference of an image of ours: by digest when the release is pinned.
func (r release) reference(image string, content v1.Image) (string, error) {
	if r.digests == nil {
		return r.registry + "/" + image + ":" + r.tag, nil
	}
	digest, err := content.Digest()
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", image, err)
	}
	return r.registry + "/" + image + "@" + digest.String(), nil
}

// readDigests reads what hack/images wrote beside its images: REGISTRY/NAME:TAG@DIGEST. They have to be of this
// release, and all of them have to be there: a bundle that pins one image and not another would promise what it does
// not hold.
func (r *release) readDigests(dir string) error {
	r.digests = map[string]string{}
	for _, image := range runtimeImages {
		file := filepath.Join(dir, image+".digest")
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the digest of %s (run make images first): %w", image, err)
		}
		tagged, digest, found := strings.Cut(strings.TrimSpace(string(text)), "@")
		if !found {
			return fmt.Errorf("%s: no digest in it; run make images again", file)
		}
		if _, err := name.NewDigest(r.registry + "/" + image + "@" + digest); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		built, err := name.NewTag(tagged)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if r.tag == "" {
			r.tag = built.TagStr()
		}
		if want := r.registry + "/" + image + ":" + r.tag; tagged != want {
			return fmt.Errorf("%s is of %s, not of %s; run make images again with the same IMAGE_REGISTRY and TAG", file, tagged, want)
		}
		r.digests[image] = digest
	}
	return nil
}
