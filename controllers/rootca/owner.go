// SPDX-License-Identifier: Apache-2.0

package rootca

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Owner returns what Kubernetes' garbage collector removes the ConfigMaps with, or nil when there is nothing. Of several
// meshes in a cluster each adds its own, so that the ConfigMaps go with the last.
type Owner func(context.Context) (*metav1.OwnerReference, error)

const (
	meshVersion = "operator.meshwright.dev/v1alpha1"
	meshKind    = "MeshOperator"
	roleKind    = "ClusterRole"
)

// roleAge is for how long a ClusterRole is taken for the same one: no longer than it takes somebody to make it anew, and
// long enough for thousands of namespaces that are written at once.
const roleAge = 10 * time.Second

// MeshOperator is the owner where an operator installed the control plane.
func MeshOperator(name string, uid types.UID) Owner {
	return func(context.Context) (*metav1.OwnerReference, error) {
		return &metav1.OwnerReference{APIVersion: meshVersion, Kind: meshKind, Name: name, UID: uid}, nil
	}
}

// ClusterRole is the owner where something else did, such as Helm: what gives the control plane its rights is removed
// together with it. reader reads from the API server, now tells the time.
func ClusterRole(reader client.Reader, name string, now func() time.Time) Owner {
	var mu sync.Mutex
	var known *metav1.OwnerReference
	var since time.Time
	return func(ctx context.Context) (*metav1.OwnerReference, error) {
		mu.Lock()
		defer mu.Unlock()
		if now().Sub(since) < roleAge {
			return known, nil
		}
		found := &rbacv1.ClusterRole{}
		err := reader.Get(ctx, client.ObjectKey{Name: name}, found)
		switch {
		case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
			// Its rights come from elsewhere.
			known = nil
		case err != nil:
			return nil, fmt.Errorf("read ClusterRole %s: %w", name, err)
		case found.DeletionTimestamp != nil:
			known = nil
		default:
			known = &metav1.OwnerReference{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: roleKind, Name: name, UID: found.UID}
		}
		since = now()
		return known, nil
	}
}

// owners adds the own reference to those of other meshes, which share the field manager, and says whether it was there.
// One of the same name and another identity is of an owner that is gone, and goes.
func (r *Reconciler) owners(ctx context.Context, found []metav1.OwnerReference) ([]*applymetav1.OwnerReferenceApplyConfiguration, bool, error) {
	var own *metav1.OwnerReference
	if r.Owner != nil {
		var err error
		if own, err = r.Owner(ctx); err != nil {
			return nil, false, err
		}
	}
	owned := own == nil || slices.ContainsFunc(found, func(o metav1.OwnerReference) bool { return o.UID == own.UID })
	kept := slices.DeleteFunc(slices.Clone(found), func(o metav1.OwnerReference) bool {
		return o.Kind != meshKind && o.Kind != roleKind || own != nil && o.Kind == own.Kind && o.Name == own.Name
	})
	if own != nil {
		kept = append(kept, *own)
	}
	var out []*applymetav1.OwnerReferenceApplyConfiguration
	for _, o := range kept {
		out = append(out, applymetav1.OwnerReference().WithAPIVersion(o.APIVersion).WithKind(o.Kind).WithName(o.Name).WithUID(o.UID))
	}
	return out, owned, nil
}
