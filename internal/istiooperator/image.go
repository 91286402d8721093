// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"regexp"
	"slices"
	"strings"
)

// theirs are registries of Istio's images, which this mesh does not run.
var theirs = []string{"docker.io/istio", "istio", "gcr.io/istio-release", "gcr.io/istio-testing", "registry.istio.io/release", "registry.istio.io/testing"}

// release is a tag of Istio's images.
var release = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?([-.].*)?$`)

const (
	reasonHub = "has images of Istio, not of this control plane; name a registry that has the images controlplane and proxy"
	reasonTag = "is a release of Istio; without a registry of your own, images are those of the operator's version"
)

func isTheirs(registry string) bool {
	return slices.Contains(theirs, strings.TrimSuffix(registry, "/"))
}

// images says where images come from. A registry of Istio's and its tags are
// not taken over: nothing could be pulled.
func (c *conversion) images(root node, top place) {
	hubs := []string{"hub", "values.global.hub"}
	for _, path := range hubs {
		if n, ok := root.at(path); ok {
			if registry, isText := n.value.(string); isText && isTheirs(registry) {
				n.miss(reasonHub)
				continue
			}
			c.move(root, top, []field{{path, "image.registry", text}})
		}
	}
	own := top.get("image.registry") != nil
	for _, path := range []string{"tag", "values.global.tag"} {
		if n, ok := root.at(path); ok {
			if value, err := tag(n.value); err == nil && value != nil && !own && release.MatchString(value.(string)) {
				n.miss(reasonTag)
				continue
			}
			c.move(root, top, []field{{path, "image.tag", tag}})
		}
	}
	if n, ok := root.at("values.global.proxy.image"); ok {
		c.reference(n, top, "image.proxy")
	}
}

// reference takes the whole reference of an image. A bare name is that of an
// image of Istio's.
func (c *conversion) reference(n node, to place, path string) {
	s, ok := n.value.(string)
	at := strings.LastIndex(s, "/")
	switch {
	case !ok || at < 0:
		n.miss("names an image of Istio; write a whole reference, with its registry")
	case isTheirs(s[:at]):
		n.miss(reasonHub)
	default:
		c.put(to, path, n, s)
	}
}

// component takes the registry and the tag of one component, which replace the
// mesh's for its image.
func (c *conversion) component(n node, to place, image string) {
	hub, hasHub := n.at("hub")
	tagged, hasTag := n.at("tag")
	if !hasHub && !hasTag {
		return
	}
	registry, _ := c.top().get("image.registry").(string)
	version, _ := c.top().get("image.tag").(string)
	if hasHub {
		if registry, _ = hub.value.(string); registry == "" || isTheirs(registry) {
			hub.miss(reasonHub)
			registry = ""
		}
	}
	if hasTag {
		value, err := tag(tagged.value)
		if err != nil || value == nil {
			tagged.miss("must be text or a number")
		}
		version, _ = value.(string)
	}
	if registry == "" || version == "" {
		const both = "the image of one component needs a registry and a tag, here or in spec.hub and spec.tag"
		if hasHub {
			hub.miss(both)
		}
		if hasTag {
			tagged.miss(both)
		}
		return
	}
	to.set("image", registry+"/"+image+":"+version)
	for _, n := range []node{hub, tagged} {
		if n.c != nil && !c.done[n.path] {
			n.use()
		}
	}
}

func (c *conversion) top() place { return place{object: c.spec} }
