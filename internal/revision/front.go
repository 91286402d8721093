// SPDX-License-Identifier: Apache-2.0

package revision

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// LayoutOf reads a layout from the specs of a mesh's MeshRevisions: what PlanLayout wrote. It is nil when there is none,
// and for a mesh that an operator has written which did not know layouts.
func LayoutOf(front string, specs map[string]v1alpha1.MeshRevisionSpec) (*upgrade.Layout, error) {
	shared, there := specs[front]
	if !there || shared.Front == nil {
		return nil, nil
	}
	out := &upgrade.Layout{
		Identities: map[string]v1alpha1.Identity{}, Entry: shared.Front.Entry,
		Gateways: upgrade.Gateways{Revision: shared.Front.Gateways.Revision, Identity: shared.Front.Gateways.Identity},
	}
	for name, spec := range specs {
		if spec.Identity != nil {
			out.Identities[name] = *spec.Identity
		}
	}
	if m := shared.Front.Move; m != nil {
		out.Move = &upgrade.Move{Revision: m.Revision}
		if m.UpTo != "" {
			place, err := placement.ParsePlace(m.UpTo)
			if err != nil {
				return nil, fmt.Errorf("MeshRevision %s: spec.front.move.upTo: %w", front, err)
			}
			out.Move.UpTo = &place
		}
		for i := range m.Namespaces {
			selector, err := upgrade.Selector(&m.Namespaces[i])
			if err != nil {
				return nil, fmt.Errorf("MeshRevision %s: spec.front.move.namespaces: %w", front, err)
			}
			out.Move.Namespaces = append(out.Move.Namespaces, selector)
		}
	}
	return out, nil
}

// frontOf is a layout as a MeshRevision holds it.
func frontOf(l upgrade.Layout) *v1alpha1.Front {
	out := &v1alpha1.Front{Entry: l.Entry, Gateways: v1alpha1.GatewaysFront{Revision: l.Gateways.Revision, Identity: l.Gateways.Identity}}
	if l.Move != nil {
		out.Move = &v1alpha1.Move{Revision: l.Move.Revision, Namespaces: selectors(l.Move.Namespaces)}
		if l.Move.UpTo != nil {
			out.Move.UpTo = l.Move.UpTo.String()
		}
	}
	return out
}

// selectors writes label selectors as the API has them.
func selectors(in []labels.Selector) []metav1.LabelSelector {
	var out []metav1.LabelSelector
	for _, s := range in {
		requirements, _ := s.Requirements()
		var one metav1.LabelSelector
		for _, r := range requirements {
			one.MatchExpressions = append(one.MatchExpressions, metav1.LabelSelectorRequirement{
				Key: r.Key(), Operator: operators[string(r.Operator())], Values: r.Values().List(),
			})
		}
		out = append(out, one)
	}
	return out
}

// operators are those that label selectors of the API have, by what parsed ones call them.
var operators = map[string]metav1.LabelSelectorOperator{
	"in": metav1.LabelSelectorOpIn, "notin": metav1.LabelSelectorOpNotIn,
	"exists": metav1.LabelSelectorOpExists, "!": metav1.LabelSelectorOpDoesNotExist,
}

// webhooks are the values of the webhooks of the mesh's name.
func (p plan) webhooks() map[string]any {
	out := map[string]any{}
	if p.layout.Entry != p.front {
		out["answeredBy"] = p.layout.Entry
	}
	if m := p.layout.Move; m != nil {
		move := map[string]any{"revision": m.Revision}
		if m.UpTo != nil {
			move["upTo"] = m.UpTo.String()
		}
		if len(m.Namespaces) > 0 {
			move["namespaces"] = selectors(m.Namespaces)
		}
		out["move"] = move
	}
	if len(out) > 0 && len(p.root) > 0 {
		out["caBundle"] = base64.StdEncoding.EncodeToString(p.root)
	}
	return out
}

// controlPlaneKinds are the kinds of the objects that each control plane has of its own.
var controlPlaneKinds = []string{
	"ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget",
	"Role", "RoleBinding", "Service", "ServiceAccount",
}

// overlays are those that change an object of this MeshRevision. Users write them for the control plane of the mesh's
// name; they hold for each that stands behind it.
func (p plan) overlays() []v1alpha1.Overlay {
	common, own := ControlPlaneName(p.front), ControlPlaneName(p.name)
	_, hasOwn := p.layout.Identities[p.name]
	var out []v1alpha1.Overlay
	for _, o := range p.spec.Overlays {
		rest, ofControlPlane := strings.CutPrefix(o.Name, common)
		ofControlPlane = ofControlPlane && slices.Contains(controlPlaneKinds, o.Kind) && (rest == "" || rest == "-"+p.namespace)
		switch {
		case ofControlPlane && hasOwn:
			o.Name = own + rest
			out = append(out, o)
		case !ofControlPlane && p.name == p.front:
			out = append(out, o)
		}
	}
	return out
}
