// SPDX-License-Identifier: Apache-2.0

// Package addon installs what a local cluster has inside itself: its DNS.
package addon

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

//go:embed dns.yaml
var manifest string

const (
	namespace  = "kube-system"
	deployment = "coredns"
	owner      = "meshwright-test-cluster"
)

// DNS is what differs between the DNS of clusters.
type DNS struct {
	// Image is the image of CoreDNS, imported already.
	Image string
	// Address is the cluster address that the pods ask.
	Address netip.Addr
}

// resources are the kinds of the manifest as the API server's paths name them.
var resources = map[string]string{
	"ServiceAccount": "serviceaccounts", "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings",
	"ConfigMap": "configmaps", "Deployment": "deployments", "Service": "services",
}

// objects are the manifest's objects with the image and address filled in.
func objects(dns DNS) ([]*unstructured.Unstructured, error) {
	text := strings.NewReplacer("${IMAGE}", dns.Image, "${ADDRESS}", dns.Address.String()).Replace(manifest)
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096)
	var out []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(o); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the manifest of the DNS: %w", err)
		}
		if _, known := resources[o.GetKind()]; !known {
			return nil, fmt.Errorf("the manifest of the DNS has the unknown kind %q", o.GetKind())
		}
		out = append(out, o)
	}
}

// Apply installs or updates the DNS.
func Apply(ctx context.Context, config *rest.Config, dns DNS) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client for the DNS: %w", err)
	}
	all, err := objects(dns)
	if err != nil {
		return err
	}
	for _, o := range all {
		if err := apply(ctx, client, o); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// apply tries for a while: a young API server refuses some requests until its
// own first objects exist.
func apply(ctx context.Context, client dynamic.Interface, o *unstructured.Unstructured) error {
	gvk := o.GroupVersionKind()
	resource := client.Resource(schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: resources[gvk.Kind]})
	var target dynamic.ResourceInterface = resource
	if o.GetNamespace() != "" {
		target = resource.Namespace(o.GetNamespace())
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, err := target.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: owner, Force: true})
		if err == nil || apierrors.IsInvalid(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Ready says whether the DNS serves, and why not. The status of its Deployment
// may be old, so the DNS itself is asked too, at its cluster address.
func Ready(ctx context.Context, client kubernetes.Interface, server netip.Addr) (bool, string, error) {
	d, err := client.AppsV1().Deployments(namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return false, "", err
	}
	s := d.Status
	if s.ObservedGeneration < d.Generation || s.UpdatedReplicas == 0 || s.AvailableReplicas == 0 || s.AvailableReplicas < s.Replicas {
		return false, fmt.Sprintf("%d of %d replicas are available", s.AvailableReplicas, s.Replicas), nil
	}
	if err := ask(ctx, server); err != nil {
		return false, err.Error(), nil
	}
	return true, "", nil
}

// ask looks a name up that every cluster has.
func ask(ctx context.Context, server netip.Addr) error {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", netip.AddrPortFrom(server, 53).String())
	}}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := resolver.LookupNetIP(ctx, "ip4", "kubernetes.default.svc.cluster.local.")
	return err
}
