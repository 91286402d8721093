// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/trust"
)

// reader answers every question the same way.
type reader struct {
	client.Reader
	data map[string]string
	err  error
}

func (r reader) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	into.(*corev1.ConfigMap).Data = r.data
	return r.err
}

func TestRoots(t *testing.T) {
	away := errors.New("no API server")
	for name, c := range map[string]struct {
		reader reader
		root   string
		err    error
	}{
		"there":      {reader{data: map[string]string{trust.Key: "PEM"}}, "PEM", nil},
		"not there":  {reader{err: apierrors.NewNotFound(corev1.Resource("configmaps"), trust.ConfigMap)}, "", trust.ErrMissing},
		"empty":      {reader{data: map[string]string{"other": "PEM"}}, "", trust.ErrMissing},
		"not known":  {reader{err: away}, "", away},
		"half known": {reader{data: map[string]string{trust.Key: "PEM"}, err: away}, "", away},
	} {
		got, err := trust.Roots(t.Context(), c.reader, "istio-system")
		if string(got) != c.root || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
