// SPDX-License-Identifier: Apache-2.0

package addon

import (
	"net/netip"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestObjects(t *testing.T) {
	all, err := objects(DNS{Image: "meshwright.local/coredns:v9", Address: netip.MustParseAddr("10.111.0.10")})
	if err != nil {
		t.Fatal(err)
	}
	byKind := map[string]*unstructured.Unstructured{}
	for _, o := range all {
		byKind[o.GetKind()] = o
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "${") {
			t.Errorf("%s %s has a value that was not filled in", o.GetKind(), o.GetName())
		}
		if o.GetKind() == "ClusterRole" && strings.Contains(string(text), `"*"`) {
			t.Errorf("the role %s grants everything", o.GetName())
		}
	}
	for kind := range resources {
		if byKind[kind] == nil {
			t.Errorf("no %s in the manifest", kind)
		}
	}
	if ip, _, _ := unstructured.NestedString(byKind["Service"].Object, "spec", "clusterIP"); ip != "10.111.0.10" {
		t.Errorf("the service has the address %q", ip)
	}
	containers, _, _ := unstructured.NestedSlice(byKind["Deployment"].Object, "spec", "template", "spec", "containers")
	if len(containers) != 1 || containers[0].(map[string]any)["image"] != "meshwright.local/coredns:v9" {
		t.Errorf("the deployment's containers are %v", containers)
	}
}
