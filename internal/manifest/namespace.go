// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
)

// Namespaces returns the names of the namespaces that a revision installs
// into, sorted; none when it installs nothing.
func Namespaces(spec v1alpha1.MeshRevisionSpec) []string {
	var out []string
	for _, component := range spec.Components {
		if !slices.Contains(out, component.Namespace) {
			out = append(out, component.Namespace)
		}
	}
	slices.Sort(out)
	return out
}

// Namespace returns a namespace as it is created for a revision that needs it.
func Namespace(name, revision string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		apply.LabelManagedBy:   apply.Manager,
		v1alpha1.LabelRevision: revision,
	}}}
}
