// SPDX-License-Identifier: Apache-2.0

// Package census counts what of a mesh runs in a cluster: operators, control
// planes, and proxies by the revision and the version that they are of.
package census

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/placement"
)

// page is how many pods are asked for at a time.
const page = 500

// proxyContainer is the name of the proxy's container in every pod.
const proxyContainer = "istio-proxy"

// Kinds of proxies.
const (
	Sidecar = "sidecar"
	Gateway = "gateway"
)

// Proxies are the pods whose proxies are alike.
type Proxies struct {
	// Kind is Sidecar or Gateway.
	Kind string `json:"kind"`
	// Revision is the MeshRevision that injected them, or that a gateway asks.
	Revision string `json:"revision"`
	// Version is the tag or the digest of the proxy's image.
	Version string `json:"version"`
	// Pods is how many there are, Namespaces in how many namespaces.
	Pods       int `json:"pods"`
	Namespaces int `json:"namespaces"`
}

// Count counts the proxies of a cluster, by kind, revision and version.
func Count(ctx context.Context, reader client.Reader) ([]Proxies, error) {
	c := counter{}
	next := ""
	for {
		var pods corev1.PodList
		if err := reader.List(ctx, &pods, client.Limit(page), client.Continue(next)); err != nil {
			return nil, fmt.Errorf("list pods: %w", err)
		}
		for i := range pods.Items {
			c.add(&pods.Items[i])
		}
		if next = pods.Continue; next == "" {
			return c.sorted(), nil
		}
	}
}

// class is what alike proxies have in common.
type class struct{ kind, revision, version string }

// tally is what there is of a class.
type tally struct {
	pods       int
	namespaces map[string]bool
}

type counter map[class]*tally

func (c counter) add(pod *corev1.Pod) {
	// A pod that has ended holds no connection, and is nobody's concern.
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return
	}
	of := class{kind: Sidecar, revision: placement.RevisionOf(pod), version: Version(imageOf(pod))}
	if of.revision == "" {
		if pod.Labels["app.kubernetes.io/name"] != "meshwright-gateway" {
			return
		}
		of.kind, of.revision = Gateway, pod.Labels["istio.io/rev"]
	}
	if c[of] == nil {
		c[of] = &tally{namespaces: map[string]bool{}}
	}
	c[of].pods++
	c[of].namespaces[pod.Namespace] = true
}

func (c counter) sorted() []Proxies {
	out := make([]Proxies, 0, len(c))
	for of, n := range c {
		out = append(out, Proxies{Kind: of.kind, Revision: of.revision, Version: of.version, Pods: n.pods, Namespaces: len(n.namespaces)})
	}
	slices.SortFunc(out, func(a, b Proxies) int {
		return strings.Compare(a.Kind+"\x00"+a.Revision+"\x00"+a.Version, b.Kind+"\x00"+b.Revision+"\x00"+b.Version)
	})
	return out
}

func imageOf(pod *corev1.Pod) string {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if list[i].Name == proxyContainer {
				return list[i].Image
			}
		}
	}
	return ""
}

// Version returns what an image's reference says of its version: the digest,
// or else the tag. A reference without either means latest
// (https://kubernetes.io/docs/concepts/containers/images/#image-names).
func Version(image string) string {
	if _, digest, ok := strings.Cut(image, "@"); ok {
		return digest
	}
	if image == "" {
		return "unknown"
	}
	// A colon before the last slash is of the registry's port.
	name := image[strings.LastIndex(image, "/")+1:]
	if _, tag, ok := strings.Cut(name, ":"); ok {
		return tag
	}
	return "latest"
}
