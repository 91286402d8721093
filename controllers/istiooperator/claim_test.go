// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestName(t *testing.T) {
	if got := Name(types.NamespacedName{Namespace: "istio-system", Name: "example"}); got != "istio-system.example" {
		t.Errorf("got %s", got)
	}
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 190)
	seen := map[string]string{}
	for _, of := range []types.NamespacedName{
		{Namespace: "a", Name: "b.c"},
		{Namespace: "a", Name: "b-c"},
		{Namespace: "a-b", Name: "c"},
		{Namespace: "istio-system", Name: long + "x"},
		{Namespace: "istio-system", Name: long + "y"},
	} {
		name := Name(of)
		if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
			t.Errorf("%s: %s: %v", of, name, wrong)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s are both %s", of, other, name)
		}
		seen[name] = of.String()
	}
}
