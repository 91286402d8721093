// SPDX-License-Identifier: Apache-2.0

package revision_test

import (
	"math/rand/v2"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/manifest"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
	"github.com/meshwright/meshwright/internal/upgrade"
)

const canarySpec = `
profile: demo
overlays:
- {kind: Deployment, name: meshwright, patch: {spec: {minReadySeconds: 3}}}
- {kind: Deployment, name: istio-ingressgateway, namespace: istio-system, patch: {spec: {minReadySeconds: 5}}}
`

// layouts are the states of an upgrade from one control plane to another.
func layouts(t *testing.T) map[string]upgrade.Layout {
	t.Helper()
	one := v1alpha1.Identity{Version: revision.Version, Registry: "registry.example", Tag: "one"}
	two := v1alpha1.Identity{Version: revision.Version, Registry: "registry.example", Tag: "two", Proxy: "registry.example/other:1"}
	tiers, err := upgrade.Selector(&metav1.LabelSelector{MatchLabels: map[string]string{"tier": "a"}, MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "frozen", Operator: metav1.LabelSelectorOpDoesNotExist},
		{Key: "zone", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"b", "c"}},
		{Key: "owner", Operator: metav1.LabelSelectorOpExists},
	}})
	if err != nil {
		t.Fatal(err)
	}
	place := placement.Place(rand.Uint64())
	both := map[string]v1alpha1.Identity{"default": one, "default-2": two}
	before := upgrade.Gateways{Revision: "default", Identity: one}
	after := upgrade.Gateways{Revision: "default-2", Identity: two}
	return map[string]upgrade.Layout{
		"fresh":     upgrade.Fresh("default", one),
		"installed": {Identities: both, Entry: "default", Gateways: before},
		"moving":    {Identities: both, Entry: "default", Gateways: before, Move: &upgrade.Move{Revision: "default-2", UpTo: &place, Namespaces: []labels.Selector{tiers}}},
		"gateways":  {Identities: both, Entry: "default", Gateways: after, Move: &upgrade.Move{Revision: "default-2", UpTo: &place}},
		"switched":  {Identities: both, Entry: "default-2", Gateways: after},
		"alone":     {Identities: map[string]v1alpha1.Identity{"default-2": two}, Entry: "default-2", Gateways: after},
	}
}

// What is planned says where things stand, renders, and keeps what must not move.
func TestLayoutsRoundTrip(t *testing.T) {
	var asked v1alpha1.MeshOperatorSpec
	if err := yaml.UnmarshalStrict([]byte(canarySpec), &asked); err != nil {
		t.Fatal(err)
	}
	spec, err := profile.Resolve(asked)
	if err != nil {
		t.Fatal(err)
	}
	carried, err := helm.Load(charts.Files)
	if err != nil {
		t.Fatal(err)
	}
	for name, layout := range layouts(t) {
		t.Run(name, func(t *testing.T) {
			plans, err := revision.PlanLayout(spec, layout, []byte("root"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := revision.LayoutOf("default", plans)
			if err != nil || !got.Equal(layout) {
				t.Fatalf("read back %+v, %v; want %+v", got, err, layout)
			}
			count := map[string]int{}
			for child, plan := range plans {
				m, err := manifest.Render(carried, "v1.36.0", child, plan)
				if err != nil {
					t.Fatalf("MeshRevision %s: %v", child, err)
				}
				for _, o := range m.Objects {
					count[o.Object.GetKind()+" "+o.Object.GetName()]++
				}
			}
			want := map[string]int{
				"MutatingWebhookConfiguration meshwright-injector": 1, "ValidatingWebhookConfiguration meshwright-validator": 1,
				"Service istio-ingressgateway": 1, "Deployment istio-ingressgateway": 1,
				"Deployment meshwright": 0, "Deployment meshwright-default-2": 0, "MutatingWebhookConfiguration meshwright-injector-default-2": 0,
			}
			for revisionName := range layout.Identities {
				want["Deployment "+revision.ControlPlaneName(revisionName)] = 1
			}
			for object, n := range want {
				if count[object] != n {
					t.Errorf("%d times %s, want %d", count[object], object, n)
				}
			}
		})
	}
}
