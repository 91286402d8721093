// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/revision"
)

// policyPurge is the spec.deletionPolicy of a mesh that goes with all that
// users wrote for it.
const policyPurge = "Purge"

// purgePatience is how long the operator may take to hand the policy on.
const purgePatience = 30 * time.Second

// purge writes into meshes that they are to be deleted with all that users
// wrote for them, and waits until the MeshRevision of each says so, too: the
// operator reads it there when the MeshOperator is gone. Nothing is deleted yet.
func purge(ctx context.Context, c client.Client, chosen []v1alpha1.MeshOperator) error {
	for i := range chosen {
		m := &chosen[i]
		live := object("MeshOperator", m.Name)
		patch := []byte(`{"spec":{"deletionPolicy":"` + policyPurge + `"}}`)
		if err := c.Patch(ctx, live, client.RawPatch(client.Merge.Type(), patch)); err != nil {
			return fmt.Errorf("set spec.deletionPolicy of MeshOperator %s: %w", m.Name, err)
		}
		// An API server drops what its definition does not have.
		if policyOf(live) != policyPurge {
			return fmt.Errorf("nothing was deleted: the operator in this cluster knows no spec.deletionPolicy; upgrade it, or uninstall without --purge")
		}
		if err := handedOn(ctx, c, m); err != nil {
			return err
		}
	}
	return nil
}

func handedOn(ctx context.Context, c client.Client, m *v1alpha1.MeshOperator) error {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, purgePatience, true, func(ctx context.Context) (bool, error) {
		child := object("MeshRevision", revision.Name(m.Spec))
		err := c.Get(ctx, client.ObjectKeyFromObject(child), child)
		if apierrors.IsNotFound(err) || census.Unknown(err) {
			return true, nil
		}
		return err == nil && policyOf(child) == policyPurge, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("nothing was deleted: no operator has acted on spec.deletionPolicy of MeshOperator %s in %s; meshctl status says why", m.Name, purgePatience)
	}
	return err
}

func object(kind, name string) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	out.SetName(name)
	return out
}

func policyOf(of *unstructured.Unstructured) string {
	policy, _, _ := unstructured.NestedString(of.Object, "spec", "deletionPolicy")
	return policy
}
