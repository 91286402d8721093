// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/health"
)

// scope is what the phases of one reconcile share.
type scope struct {
	// revision is the object; its status is written in memory by the phases and
	// once to the API server at the end.
	revision *v1alpha1.MeshRevision
	// items are the rendered objects but the CRDs. Filled by validate.
	items []*item
	// definitions are the rendered CRDs. Filled by validate.
	definitions []*unstructured.Unstructured
	// gate is the first phase's reason to wait. Behind it, phases only repair
	// what was applied before, and install nothing new.
	gate error
	// drift says what was found changed or missing, and was put back.
	drift []string
	// notes are remarks for the message of Ready.
	notes []string
}

// pin writes the identity of its ServiceAccount into the template of a Deployment: the tokens of running pods are worth
// nothing once the ServiceAccount was deleted, also when there is one of the same name again, so the pods must follow.
func (s *scope) pin(i *item) error {
	if i.object.GetKind() != "Deployment" {
		return nil
	}
	name, _, err := unstructured.NestedString(i.object.Object, "spec", "template", "spec", "serviceAccountName")
	if err != nil {
		return conditions.Give(v1alpha1.ReasonError, "%s: %v", health.Name(i.object), err)
	}
	at := slices.IndexFunc(s.items, func(o *item) bool {
		return o.live != nil && o.entry.Kind == "ServiceAccount" && o.entry.Namespace == i.entry.Namespace && o.entry.Name == name
	})
	if at < 0 {
		return nil
	}
	uid := string(s.items[at].live.GetUID())
	err = unstructured.SetNestedField(i.object.Object, uid, "spec", "template", "metadata", "annotations", v1alpha1.AnnotationServiceAccount)
	if err != nil {
		return conditions.Give(v1alpha1.ReasonError, "%s: %v", health.Name(i.object), err)
	}
	return nil
}

// stage is the phase that applies an object.
type stage int

const (
	stageCNI stage = iota
	stageControlPlane
	stageWebhooks
	stageGateways
)

// item is one rendered object.
type item struct {
	stage     stage
	component v1alpha1.Component
	object    *unstructured.Unstructured
	// entry names the object in the inventory, with the digest of this manifest.
	entry v1alpha1.InventoryEntry
	// live is the object in the cluster. Filled when it is applied.
	live *unstructured.Unstructured
}

// recorded returns the inventory's entry of the same object, or nil.
func (s *scope) recorded(entry v1alpha1.InventoryEntry) *v1alpha1.InventoryEntry {
	at := slices.IndexFunc(s.revision.Status.Inventory, func(e v1alpha1.InventoryEntry) bool { return same(e, entry) })
	if at < 0 {
		return nil
	}
	return &s.revision.Status.Inventory[at]
}

// same says whether two entries name the same object; its version may differ.
func same(a, b v1alpha1.InventoryEntry) bool {
	return a.Group == b.Group && a.Kind == b.Kind && a.Namespace == b.Namespace && a.Name == b.Name
}

// stageOf returns when an object is applied. Webhooks come after the control
// plane that answers them, so that nothing is refused meanwhile.
func stageOf(chart v1alpha1.Chart, kind string) stage {
	switch {
	case chart == v1alpha1.ChartCNI:
		return stageCNI
	case chart == v1alpha1.ChartGateway:
		return stageGateways
	case isWebhook(kind):
		return stageWebhooks
	}
	return stageControlPlane
}

func isWebhook(kind string) bool {
	return kind == "MutatingWebhookConfiguration" || kind == "ValidatingWebhookConfiguration"
}
