// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/meshrevision"
)

// bundle is a certificate that the API server accepts as a CA bundle.
var bundle = certificate()

func certificate() []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// mesh makes a MeshOperator that is deleted with the test.
func mesh(t *testing.T, name string, spec v1alpha1.MeshOperatorSpec) *v1alpha1.MeshOperator {
	t.Helper()
	out := &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	if err := world.admin.Create(context.Background(), out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { discard(t, out) })
	return out
}

// discard deletes a MeshOperator and what a test left of it, whether an
// operator runs or not.
func discard(t *testing.T, m *v1alpha1.MeshOperator) {
	t.Helper()
	ctx := context.Background()
	if world.admin.Delete(ctx, m) != nil {
		return
	}
	controlPlaneWorks.Store(true)
	start(t)
	removed(t, m)
}

// removed waits until a deleted MeshOperator is gone with all that was made for it.
func removed(t *testing.T, m *v1alpha1.MeshOperator) {
	t.Helper()
	uid := m.UID
	eventually(t, time.Minute, func() error {
		err := world.admin.Get(context.Background(), client.ObjectKeyFromObject(m), m)
		if err == nil {
			return fmt.Errorf("MeshOperator %s is still there: %s", m.Name, status(m))
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		var revisions v1alpha1.MeshRevisionList
		if err := world.admin.List(context.Background(), &revisions); err != nil {
			return err
		}
		for i := range revisions.Items {
			if by := metav1.GetControllerOf(&revisions.Items[i]); by != nil && by.UID == uid {
				return fmt.Errorf("MeshRevision %s is still there: %+v", revisions.Items[i].Name, revisions.Items[i].Status.Conditions)
			}
		}
		return nil
	})
}

// eventually waits until check returns nil.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// await waits for a condition of a MeshOperator, for its latest generation.
func await(t *testing.T, m *v1alpha1.MeshOperator, conditionType string, want metav1.ConditionStatus, text string) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		if err := world.admin.Get(context.Background(), client.ObjectKeyFromObject(m), m); err != nil {
			return err
		}
		c := meta.FindStatusCondition(m.Status.Conditions, conditionType)
		if c == nil || c.Status != want || c.ObservedGeneration != m.Generation || !strings.Contains(c.Reason+": "+c.Message, text) {
			return fmt.Errorf("want %s=%s with %q, have %s", conditionType, want, text, status(m))
		}
		return nil
	})
}

func status(m *v1alpha1.MeshOperator) string {
	var out []string
	for _, c := range m.Status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return "[" + strings.Join(out, " | ") + "]"
}

// owned lists the objects that carry the label of a revision.
func owned(t *testing.T, revision string) []string {
	t.Helper()
	var out []string
	for _, kind := range meshrevision.Owned {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := world.admin.List(context.Background(), list, client.MatchingLabels{v1alpha1.LabelRevision: revision}); err != nil {
			t.Fatal(err)
		}
		for _, object := range list.Items {
			out = append(out, fmt.Sprintf("%s %s/%s %s", kind.Kind, object.Namespace, object.Name, object.ResourceVersion))
		}
	}
	return out
}

func exists(t *testing.T, object client.Object, namespace, name string) bool {
	t.Helper()
	err := world.admin.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// rootsIn tells how many namespaces have the root certificate.
func rootsIn(t *testing.T) int {
	t.Helper()
	var list corev1.ConfigMapList
	if err := world.admin.List(context.Background(), &list, client.MatchingFields{"metadata.name": "meshwright-ca-root-cert"}); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}
