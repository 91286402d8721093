// SPDX-License-Identifier: Apache-2.0

package platform_test

import (
	"slices"
	"testing"

	"github.com/meshwright/meshwright/internal/platform"
)

func TestOf(t *testing.T) {
	labels := func(keys ...string) map[string]string {
		out := map[string]string{"kubernetes.io/os": "linux"}
		for _, key := range keys {
			out[key] = "x"
		}
		return out
	}
	for name, c := range map[string]struct {
		facts platform.Facts
		want  string
		// alone is true where the API server is enough.
		alone bool
	}{
		"nothing":              {platform.Facts{}, platform.Plain, false},
		"upstream":             {platform.Facts{Version: "v1.36.3", Groups: []string{"apps"}, Node: platform.Node{Name: "node-1", Labels: labels()}}, platform.Plain, false},
		"openshift":            {platform.Facts{Version: "v1.33.3+ab12cd3", Groups: []string{"apps", "config.openshift.io"}}, platform.OpenShift, true},
		"openshift by routes":  {platform.Facts{Groups: []string{"route.openshift.io"}}, platform.OpenShift, true},
		"somebody's openshift": {platform.Facts{Groups: []string{"hive.openshift.io"}}, platform.Plain, false},
		"gke":                  {platform.Facts{Version: "v1.33.4-gke.1245000"}, platform.GKE, true},
		"eks":                  {platform.Facts{Version: "v1.33.5-eks-113cf36"}, platform.EKS, true},
		"aks":                  {platform.Facts{Version: "v1.33.3", Node: platform.Node{ProviderID: "azure:///subscriptions/x", Labels: labels("kubernetes.azure.com/cluster")}}, platform.AKS, false},
		"other nodes of azure": {platform.Facts{Version: "v1.33.3", Node: platform.Node{ProviderID: "azure:///subscriptions/x", Labels: labels()}}, platform.Plain, false},
		"k3s":                  {platform.Facts{Version: "v1.34.1+k3s1", Node: platform.Node{Name: "box", ProviderID: "k3s://box"}}, platform.K3s, false},
		"k3d":                  {platform.Facts{Version: "v1.34.1+k3s1", Node: platform.Node{Name: "k3d-dev-server-0"}}, platform.K3d, false},
		"k3s, unseen":          {platform.Facts{Version: "v1.34.1+k3s1"}, platform.K3s, false},
		"kind":                 {platform.Facts{Version: "v1.34.0", Node: platform.Node{ProviderID: "kind://docker/kind/kind-control-plane"}}, platform.Kind, false},
		"minikube":             {platform.Facts{Node: platform.Node{Labels: labels("minikube.k8s.io/name")}}, platform.Minikube, false},
		"microk8s":             {platform.Facts{Node: platform.Node{Labels: labels("microk8s.io/cluster")}}, platform.MicroK8s, false},
		"gke in the name only": {platform.Facts{Version: "v1.33.4-gke"}, platform.Plain, false},
	} {
		if got := platform.Of(c.facts); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if got, ok := platform.OfServer(c.facts); ok != c.alone || ok && got != c.want {
			t.Errorf("%s: the API server alone says %q, %v", name, got, ok)
		}
		if !slices.Contains(platform.Names(), c.want) {
			t.Errorf("%s is not among the names", c.want)
		}
	}
	if !slices.IsSorted(platform.Names()) {
		t.Errorf("not sorted: %v", platform.Names())
	}
}
