// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// busy is an API server on which somebody else is faster for some time.
type busy struct {
	client.Client
	conflicts int
	now       v1alpha1.MeshOperator
	written   *v1alpha1.MeshOperator
}

func (b *busy) Patch(_ context.Context, object client.Object, _ client.Patch, _ ...client.PatchOption) error {
	if b.conflicts--; b.conflicts >= 0 {
		return apierrors.NewConflict(schema.GroupResource{Resource: "meshoperators"}, object.GetName(), errors.New("the object has been modified"))
	}
	b.written = object.(*v1alpha1.MeshOperator)
	return nil
}

func (b *busy) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	b.now.DeepCopyInto(into.(*v1alpha1.MeshOperator))
	return nil
}

// TestWrite: a change is written although the operator writes the status meanwhile, as it does while an upgrade that is to
// be held or given up goes on; when the spec is another than the one that was shown, it is not.
func TestWrite(t *testing.T) {
	shown := v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "mesh", Generation: 1, ResourceVersion: "1"}}
	for name, c := range map[string]struct {
		conflicts  int
		generation int64
		uid        string
		written    bool
	}{
		"nobody":                {0, 1, "mesh", true},
		"the operator":          {5, 1, "mesh", true},
		"who never stops":       {1000, 1, "mesh", false},
		"another person":        {1, 2, "mesh", false},
		"who made it once more": {1, 1, "other", false},
	} {
		api := &busy{conflicts: c.conflicts, now: *shown.DeepCopy()}
		api.now.Generation, api.now.ResourceVersion, api.now.UID = c.generation, "2", "mesh"
		if c.uid != "mesh" {
			api.now.UID = "other"
		}
		err := write(t.Context(), api, shown.DeepCopy(), v1alpha1.MeshOperatorSpec{Profile: "demo"})
		if (err == nil) != c.written || (api.written != nil) != c.written {
			t.Errorf("%s: %v, written %+v", name, err, api.written)
		}
		if api.written != nil && (api.written.Spec.Profile != "demo" || c.conflicts > 0 && api.written.ResourceVersion != "2") {
			t.Errorf("%s: written %+v", name, api.written)
		}
	}
}
