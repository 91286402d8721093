// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/meshwright/meshwright/internal/ir"
)

const apiVersion = "networking.istio.io/v1"

var (
	groups  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "workloadgroups"}
	entries = groups.GroupVersion().WithResource("workloadentries")
)

// Store is where WorkloadEntries are. Errors of the API server come as they are.
type Store interface {
	// Group is the UID of a WorkloadGroup.
	Group(ctx context.Context, key ir.ConfigKey) (types.UID, error)
	Get(ctx context.Context, key ir.ConfigKey) (*unstructured.Unstructured, error)
	Create(ctx context.Context, o *unstructured.Unstructured) error
	// Update conflicts unless the object has the version that is stored.
	Update(ctx context.Context, o *unstructured.Unstructured) error
	// Delete conflicts unless this is what is stored.
	Delete(ctx context.Context, key ir.ConfigKey, uid types.UID, version string) error
	// SetHealth writes the condition Healthy of an entry that is there and has the UID; else it does nothing.
	SetHealth(ctx context.Context, key ir.ConfigKey, uid types.UID, h Health) error
}

// FieldManager owns the condition Healthy.
const FieldManager = "meshwright-machines"

// The condition Healthy.
const (
	conditionHealthy = "Healthy"
	reasonPassed     = "ProbeSucceeded"
	reasonFailed     = "ProbeFailed"
)

// cluster is the Store of an API server.
type cluster struct{ client dynamic.Interface }

// NewStore writes with a client. Its user needs get on workloadgroups, get, create, update and delete on
// workloadentries, and patch on workloadentries/status.
func NewStore(client dynamic.Interface) Store { return cluster{client} }

func (c cluster) Group(ctx context.Context, key ir.ConfigKey) (types.UID, error) {
	found, err := c.client.Resource(groups).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return found.GetUID(), nil
}

func (c cluster) Get(ctx context.Context, key ir.ConfigKey) (*unstructured.Unstructured, error) {
	return c.client.Resource(entries).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
}

func (c cluster) Create(ctx context.Context, o *unstructured.Unstructured) error {
	_, err := c.client.Resource(entries).Namespace(o.GetNamespace()).Create(ctx, o, metav1.CreateOptions{FieldManager: FieldManager})
	return err
}

func (c cluster) Update(ctx context.Context, o *unstructured.Unstructured) error {
	_, err := c.client.Resource(entries).Namespace(o.GetNamespace()).Update(ctx, o, metav1.UpdateOptions{FieldManager: FieldManager})
	return err
}

func (c cluster) Delete(ctx context.Context, key ir.ConfigKey, uid types.UID, version string) error {
	return c.client.Resource(entries).Namespace(key.Namespace).Delete(ctx, key.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
	})
}

// SetHealth applies one condition on the server: those of others stay as they are.
func (c cluster) SetHealth(ctx context.Context, key ir.ConfigKey, uid types.UID, h Health) error {
	condition := map[string]any{
		"type": conditionHealthy, "status": "True", "reason": reasonPassed, "lastTransitionTime": h.Since.UTC().Format(time.RFC3339),
	}
	if !h.Healthy {
		condition["status"], condition["reason"], condition["message"] = "False", reasonFailed, h.Message
	}
	body := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": "WorkloadEntry",
		"metadata": map[string]any{"namespace": key.Namespace, "name": key.Name, "uid": string(uid)},
		"status":   map[string]any{"conditions": []any{condition}},
	}}
	_, err := c.client.Resource(entries).Namespace(key.Namespace).
		ApplyStatus(ctx, key.Name, body, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("write the health of WorkloadEntry %s: %w", key, err)
	}
	return nil
}

func metaOf(o *unstructured.Unstructured) *metav1.ObjectMeta {
	return &metav1.ObjectMeta{Labels: o.GetLabels(), Annotations: o.GetAnnotations()}
}
