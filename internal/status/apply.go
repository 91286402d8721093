// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshwright/meshwright/internal/ir"
)

// FieldManager owns the conditions that the control plane writes.
const FieldManager = "meshwright-controlplane"

// resources is the kinds whose status the control plane writes.
var resources = map[string]schema.GroupVersionResource{
	"VirtualService":        {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	"DestinationRule":       {Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
	"Gateway":               {Group: "networking.istio.io", Version: "v1", Resource: "gateways"},
	"ProxyConfig":           {Group: "networking.istio.io", Version: "v1beta1", Resource: "proxyconfigs"},
	"ServiceEntry":          {Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
	"WorkloadEntry":         {Group: "networking.istio.io", Version: "v1", Resource: "workloadentries"},
	"WorkloadGroup":         {Group: "networking.istio.io", Version: "v1", Resource: "workloadgroups"},
	kindIngress:             {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	"Sidecar":               {Group: "networking.istio.io", Version: "v1", Resource: "sidecars"},
	"PeerAuthentication":    {Group: "security.istio.io", Version: "v1", Resource: "peerauthentications"},
	"RequestAuthentication": {Group: "security.istio.io", Version: "v1", Resource: "requestauthentications"},
}

// applier writes by server-side apply on the status subresource.
type applier struct{ client dynamic.Interface }

// NewWriter writes with a client by server-side apply, so that conditions of
// others stay where the CRD lists conditions by type. The client's user needs
// "patch" on the status subresources of the kinds.
func NewWriter(client dynamic.Interface) Writer { return applier{client} }

func (a applier) Write(ctx context.Context, object ir.Origin, generation int64, report Report) error {
	resource, ok := resources[object.Kind]
	if !ok {
		return fmt.Errorf("write status of %s: %w", object, ErrUnknownKind)
	}
	body := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.GroupVersion().String(),
		"kind":       object.Kind,
		"metadata":   map[string]any{"name": object.Name, "namespace": object.Namespace},
		"status":     encode(generation, report),
	}}
	if object.Kind == kindIngress {
		body.Object["status"] = points(report.Addresses)
	}
	_, err := a.client.Resource(resource).Namespace(object.Namespace).
		ApplyStatus(ctx, object.Name, body, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write status of %s: %w", object, err)
	}
	return nil
}

// encode writes generations as numbers, which tools that wait for objects read.
func encode(generation int64, report Report) map[string]any {
	entries := make([]any, len(report.Conditions))
	for i, c := range report.Conditions {
		entry := map[string]any{
			"type":               c.Type,
			"status":             c.Status,
			"reason":             c.Reason,
			"observedGeneration": c.ObservedGeneration,
			"lastTransitionTime": c.LastTransitionTime.UTC().Format(time.RFC3339),
		}
		if c.Message != "" {
			entry["message"] = c.Message
		}
		entries[i] = entry
	}
	out := map[string]any{"observedGeneration": generation, "conditions": entries}
	if len(report.Addresses) > 0 {
		addresses := make([]any, len(report.Addresses))
		for i, a := range report.Addresses {
			addresses[i] = map[string]any{"value": a.Addr.String(), "host": a.Host}
		}
		out["addresses"] = addresses
	}
	return out
}
