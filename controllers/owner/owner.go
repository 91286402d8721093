// SPDX-License-Identifier: Apache-2.0

// Package owner says to whom objects belong, so that Kubernetes' garbage collector can finish what no operator is there
// to do (docs/adr/013).
package owner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
)

// serviceAccount begins the user name of a pod
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/).
const serviceAccount = "system:serviceaccount:"

// Operator returns a reference to what is there as long as the operator is installed: the ClusterRoleBinding that gives
// it its rights, of Helm, kustomize or OLM. It returns nil for a process that has no ServiceAccount.
func Operator(ctx context.Context, asker client.Writer, reader client.Reader) (*metav1.OwnerReference, error) {
	namespace, name, err := account(ctx, asker)
	if name == "" || err != nil {
		return nil, err
	}
	var bindings rbacv1.ClusterRoleBindingList
	if err := reader.List(ctx, &bindings); err != nil {
		return nil, fmt.Errorf("list ClusterRoleBindings: %w", err)
	}
	slices.SortFunc(bindings.Items, func(a, b rbacv1.ClusterRoleBinding) int { return strings.Compare(a.Name, b.Name) })
	for i := range bindings.Items {
		b := &bindings.Items[i]
		bound := slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == namespace && s.Name == name
		})
		if bound && b.DeletionTimestamp == nil {
			return &metav1.OwnerReference{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding", Name: b.Name, UID: b.UID}, nil
		}
	}
	return nil, nil
}

// account returns the ServiceAccount of this process, or "".
func account(ctx context.Context, asker client.Writer) (namespace, name string, err error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := asker.Create(ctx, review); err != nil {
		return "", "", fmt.Errorf("ask who this is: %w", err)
	}
	who, ok := strings.CutPrefix(review.Status.UserInfo.Username, serviceAccount)
	if !ok {
		return "", "", nil
	}
	namespace, name, _ = strings.Cut(who, ":")
	return namespace, name, nil
}

// Lease lets the lease of the operator's leader go with the operator's ServiceAccount.
type Lease struct {
	// Client writes, Reader reads from the API server.
	Client client.Client
	Reader client.Reader
	// Name is the lease's.
	Name string
}

// Start runs once this process leads, and ends at once.
func (l *Lease) Start(ctx context.Context) error {
	namespace, name, err := account(ctx, l.Client)
	if name == "" || err != nil {
		return err
	}
	self := &corev1.ServiceAccount{}
	if err := l.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, self); err != nil {
		return client.IgnoreNotFound(err)
	}
	lease := &coordinationv1.Lease{}
	if err := l.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: l.Name}, lease); err != nil {
		return client.IgnoreNotFound(err)
	}
	before := lease.DeepCopy()
	lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: self.Name, UID: self.UID}}
	if err := l.Client.Patch(ctx, lease, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("give lease %s/%s an owner: %w", namespace, l.Name, err)
	}
	return nil
}

// OfRevision refers to a MeshRevision.
func OfRevision(revision *v1alpha1.MeshRevision) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "MeshRevision", Name: revision.Name, UID: revision.UID,
	}
}

// Orphaned says whether the MeshOperator of a MeshRevision is gone or going. A MeshRevision that no operator made is
// nobody's orphan. cached answers most of the time, live when it does not know the MeshOperator.
func Orphaned(ctx context.Context, cached, live client.Reader, revision *v1alpha1.MeshRevision) (bool, error) {
	ref := metav1.GetControllerOf(revision)
	if ref == nil {
		// The garbage collector takes references to what is gone away.
		return revision.Labels[apply.LabelManagedBy] == apply.Manager, nil
	}
	if ref.Kind != "MeshOperator" {
		return false, nil
	}
	for _, reader := range []client.Reader{cached, live} {
		mesh := &v1alpha1.MeshOperator{}
		err := reader.Get(ctx, client.ObjectKey{Name: ref.Name}, mesh)
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("read MeshOperator %s: %w", ref.Name, err)
		}
		if err == nil && mesh.UID == ref.UID {
			return mesh.DeletionTimestamp != nil, nil
		}
	}
	return true, nil
}
