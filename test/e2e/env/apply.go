// SPDX-License-Identifier: Apache-2.0

package env

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

// Parse splits manifests into objects and puts the cluster's image registry
// and tag in place of the defaults.
func (c *Cluster) Parse(manifests []byte) ([]*unstructured.Unstructured, error) {
	text := strings.ReplaceAll(string(manifests), DefaultRegistry+"/", c.Registry+"/")
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.Contains(l, "image: "+c.Registry+"/") {
			lines[i] = strings.TrimSuffix(l, ":"+DefaultTag) + suffix(l, ":"+DefaultTag, ":"+c.Tag)
		}
	}
	reader := kyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(strings.Join(lines, "\n")))))
	var out []*unstructured.Unstructured
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("split the manifests: %w", err)
		}
		u := &unstructured.Unstructured{}
		if err := kyaml.Unmarshal(doc, &u.Object); err != nil {
			return nil, fmt.Errorf("parse document %d: %w", len(out)+1, err)
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
}

func suffix(s, old, replacement string) string {
	if strings.HasSuffix(s, old) {
		return replacement
	}
	return ""
}

// Resource returns the client for a kind, in a namespace when the kind has
// any. A kind whose CRD has just been applied is waited for.
func (c *Cluster) Resource(ctx context.Context, gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	deadline := time.Now().Add(mappingWait)
	for {
		mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err == nil {
			if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
				return c.Dynamic.Resource(mapping.Resource).Namespace(namespace), nil
			}
			return c.Dynamic.Resource(mapping.Resource), nil
		}
		if !notServed(err) || time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fmt.Errorf("find the kind %s (is its CRD installed?): %w", gvk, err)
		}
		c.mapper.Reset()
		pause(ctx, 200*time.Millisecond)
	}
}

// Apply applies the manifests by server-side apply, in their order. Objects
// without a namespace go to the given one.
func (c *Cluster) Apply(ctx context.Context, namespace string, manifests []byte) error {
	objects, err := c.Parse(manifests)
	if err != nil {
		return err
	}
	for _, u := range objects {
		if _, err := c.ApplyObject(ctx, namespace, u); err != nil {
			return err
		}
	}
	return nil
}

// ApplyObject applies one object and returns it as the API server keeps it.
func (c *Cluster) ApplyObject(ctx context.Context, namespace string, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if u.GetNamespace() != "" {
		namespace = u.GetNamespace()
	}
	r, err := c.Resource(ctx, u.GroupVersionKind(), namespace)
	if err != nil {
		return nil, err
	}
	got, err := r.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return nil, fmt.Errorf("apply %s %s/%s: %w", u.GetKind(), namespace, u.GetName(), err)
	}
	return got, nil
}

// ApplyFiles applies files in the given order.
func (c *Cluster) ApplyFiles(ctx context.Context, namespace string, paths ...string) error {
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			return fmt.Errorf("read the manifest: %w", err)
		}
		if err := c.Apply(ctx, namespace, text); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// Delete removes the objects of the manifests, last first; absent ones are fine.
func (c *Cluster) Delete(ctx context.Context, namespace string, manifests []byte) error {
	objects, err := c.Parse(manifests)
	if err != nil {
		return err
	}
	slices.Reverse(objects)
	for _, u := range objects {
		ns := namespace
		if u.GetNamespace() != "" {
			ns = u.GetNamespace()
		}
		r, err := c.Resource(ctx, u.GroupVersionKind(), ns)
		if err != nil {
			return err
		}
		policy := metav1.DeletePropagationBackground
		if err := r.Delete(ctx, u.GetName(), metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s/%s: %w", u.GetKind(), ns, u.GetName(), err)
		}
	}
	return nil
}

// Get reads one object.
func (c *Cluster) Get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	r, err := c.Resource(ctx, gvk, namespace)
	if err != nil {
		return nil, err
	}
	return r.Get(ctx, name, metav1.GetOptions{})
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
