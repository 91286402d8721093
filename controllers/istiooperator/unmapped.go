// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	installv1alpha1 "github.com/meshwright/meshwright/api/install/v1alpha1"
	"github.com/meshwright/meshwright/internal/istiooperator"
)

const (
	// maxUnmapped is how many a status holds.
	maxUnmapped = 256
	// maxNote is below what the API of events allows.
	maxNote = 900
	// maxText keeps one entry readable.
	maxText = 512
)

// bounded returns the list of a status. What is too much is counted.
func bounded(unmapped []istiooperator.Unmapped) []installv1alpha1.UnmappedField {
	var out []installv1alpha1.UnmappedField
	for i, u := range unmapped {
		if i == maxUnmapped-1 && len(unmapped) > maxUnmapped {
			return append(out, installv1alpha1.UnmappedField{
				Path: "spec", Reason: fmt.Sprintf("%d more fields have no effect", len(unmapped)-i),
			})
		}
		out = append(out, installv1alpha1.UnmappedField{Path: cut(u.Path), Reason: cut(u.Reason)})
	}
	return out
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "..."
}

// tell says in one event which fields have no effect.
func (r *Reconciler) tell(object *unstructured.Unstructured, unmapped []installv1alpha1.UnmappedField) {
	var note strings.Builder
	fmt.Fprintf(&note, "%d fields have no effect, see status.unmapped: ", len(unmapped))
	for i, u := range unmapped {
		if note.Len()+len(u.Path) > maxNote {
			note.WriteString("...")
			break
		}
		if i > 0 {
			note.WriteString(", ")
		}
		note.WriteString(u.Path)
	}
	r.Events.Eventf(object, nil, corev1.EventTypeWarning, "Unmapped", "Convert", "%s", note.String())
}
