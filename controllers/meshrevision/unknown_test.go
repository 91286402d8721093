// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
)

// made is a MeshRevision of a MeshOperator.
func made(name string, by string) *v1alpha1.MeshRevision {
	return &v1alpha1.MeshRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), Labels: map[string]string{apply.LabelManagedBy: apply.Manager},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MeshOperator", Name: by, UID: types.UID(by), Controller: new(true)}},
		},
		Spec: v1alpha1.MeshRevisionSpec{Version: "v0.1.0", Namespace: "istio-system"},
	}
}

// TestUnknownRemovesNothing: a mesh is removed when its MeshOperator is gone, and nothing of it while that is not
// known, or whether others need it.
func TestUnknownRemovesNothing(t *testing.T) {
	away := errors.New("no API server")
	type outcome struct{ applied, shared bool } // what stays
	all, none := outcome{true, true}, outcome{}
	for name, c := range map[string]struct {
		fails string // a read, as VERB KIND
		err   error
		there []client.Object
		want  outcome
	}{
		"its MeshOperator is gone":      {want: none},
		"its MeshOperator is there":     {there: []client.Object{&v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "mesh"}}}, want: all},
		"another of its name is there":  {there: []client.Object{&v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "later"}}}, want: none},
		"its MeshOperator is not known": {fails: "get MeshOperator", err: away, want: all},
		"it may not be read":            {fails: "get MeshOperator", err: apierrors.NewForbidden(corev1.Resource("meshoperators"), "mesh", away), want: all},
		"other revisions are not known": {fails: "list MeshRevisionList", err: away, want: all},
		"webhooks are not known":        {fails: "list MutatingWebhookConfigurationList", err: away, want: all},
		"another is in the namespace": {
			there: []client.Object{made("blue", "other"), &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: "other", UID: "other"}}},
			want:  outcome{applied: false, shared: true},
		},
		"control planes of others are not known": {fails: "list DeploymentList", err: away, want: outcome{applied: false, shared: true}},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
				if err := add(scheme); err != nil {
					t.Fatal(err)
				}
			}
			ours := map[string]string{v1alpha1.LabelRevision: "default"}
			revision := made("default", "mesh")
			revision.Annotations = map[string]string{v1alpha1.AnnotationPaused: "true"} // removal is all that is looked at
			revision.Status.Inventory = []v1alpha1.InventoryEntry{
				{Version: "v1", Kind: "ConfigMap", Namespace: "istio-system", Name: "applied", Digest: "d"},
				{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", Name: "gone", Digest: "d"},
			}
			objects := append([]client.Object{
				revision,
				&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "applied", Labels: ours}},
				&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: authoritySecret}},
			}, c.there...)
			failed := false
			check := func(verb string, object runtime.Object) error {
				kind := object.GetObjectKind().GroupVersionKind().Kind
				if found, _, err := scheme.ObjectKinds(object); kind == "" && err == nil {
					kind = found[0].Kind
				}
				if verb+" "+kind != c.fails {
					return nil
				}
				failed = true
				return c.err
			}
			cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(revision).
				WithIndex(&corev1.ConfigMap{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} }).
				WithInterceptorFuncs(interceptor.Funcs{
					Get: func(ctx context.Context, under client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
						if err := check("get", object); err != nil {
							return err
						}
						return under.Get(ctx, key, object, options...)
					},
					List: func(ctx context.Context, under client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
						if err := check("list", list); err != nil {
							return err
						}
						return under.List(ctx, list, options...)
					},
				}).Build()
			r := &Reconciler{
				Client: cluster, Reader: cluster, Events: events.NewFakeRecorder(100),
				Applier: &apply.Applier{Client: cluster, Reader: cluster, Clock: clock.RealClock{}},
			}
			// The first look deletes, the next finds that it is gone.
			var err error
			for range 3 {
				_, err = r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "default"}})
			}
			if failed != (c.fails != "") {
				t.Fatalf("there was no %s (%v)", c.fails, err)
			}
			stays := func(object client.Object, name string) bool {
				err := cluster.Get(t.Context(), client.ObjectKey{Namespace: "istio-system", Name: name}, object)
				if client.IgnoreNotFound(err) != nil {
					t.Fatal(err)
				}
				return err == nil
			}
			got := outcome{applied: stays(&corev1.ConfigMap{}, "applied"), shared: stays(&corev1.Secret{}, authoritySecret)}
			if got != c.want {
				t.Errorf("stay: %+v; want %+v (%v)", got, c.want, err)
			}
		})
	}
}
