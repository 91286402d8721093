// SPDX-License-Identifier: Apache-2.0

package answer_test

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
)

func TestRefused(t *testing.T) {
	ending := apierrors.NewForbidden(corev1.Resource("services"), "a", errors.New("it ends"))
	ending.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, c := range map[string]struct {
		err    error
		kind   conditions.Kind
		reason string
	}{
		"belongs to others":       {&apply.ForeignError{}, conditions.Stalled, v1alpha1.ReasonObjectConflict},
		"is put back by others":   {&apply.ContestedError{}, conditions.Stalled, v1alpha1.ReasonFieldContested},
		"its namespace ends":      {ending, conditions.Waiting, v1alpha1.ReasonNamespaceTerminating},
		"is malformed":            {apierrors.NewBadRequest("no"), conditions.Stalled, v1alpha1.ReasonRejected},
		"has fields of no schema": {apierrors.NewInternalError(errors.New("failed to create typed patch object")), conditions.Stalled, v1alpha1.ReasonRejected},
		"the API server is away":  {errors.New("no route"), conditions.Plain, ""},
	} {
		got := answer.Refused(fmt.Errorf("apply a: %w", c.err))
		if conditions.KindOf(got) != c.kind || conditions.ReasonOf(got, "") != c.reason {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
