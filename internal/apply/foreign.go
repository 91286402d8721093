// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Foreign returns to whom else a live object belongs, or "" when the operator
// would apply object over it. It is how somebody can know before.
func Foreign(object, live *unstructured.Unstructured) string {
	var foreign *ForeignError
	if errors.As(refuse(object, live, false), &foreign) {
		return foreign.Owner
	}
	return ""
}

// ForeignDefinition returns who else looks after a live
// CustomResourceDefinition, or "", and which versions that the control plane
// needs it does not serve then.
func ForeignDefinition(object, live *unstructured.Unstructured) (owner string, lacking []string, err error) {
	if owner = keeper(object, live); owner == "" {
		return "", nil, nil
	}
	d, err := foreign(object, live, owner)
	return owner, d.Lacking, err
}
