// SPDX-License-Identifier: Apache-2.0

package answer

import (
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
)

// untyped is in the error of an apply whose manifest does not fit the kind's
// schema, which the API server reports as an internal error.
const untyped = "failed to create typed patch object"

// Refused gives the error of an apply its meaning: whether time mends it, or a user.
func Refused(err error) error {
	var foreign *apply.ForeignError
	var contested *apply.ContestedError
	switch {
	case errors.As(err, &foreign):
		return conditions.Stall(v1alpha1.ReasonObjectConflict, "%v", err)
	case errors.As(err, &contested):
		return conditions.Stall(v1alpha1.ReasonFieldContested, "%v", err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return conditions.Wait(v1alpha1.ReasonNamespaceTerminating, 0, "%v", err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), strings.Contains(err.Error(), untyped):
		return conditions.Stall(v1alpha1.ReasonRejected, "%v", err)
	}
	return err
}
