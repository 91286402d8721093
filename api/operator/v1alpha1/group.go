// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "operator.meshwright.dev", Version: "v1alpha1"}

// AddToScheme adds the kinds of this package to a scheme. It never fails; the
// error is there because runtime.SchemeBuilder wants that signature.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&MeshOperator{}, &MeshOperatorList{},
		&MeshRevision{}, &MeshRevisionList{},
		&MeshRevisionTag{}, &MeshRevisionTagList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
