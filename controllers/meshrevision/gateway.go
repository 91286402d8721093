// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/health"
)

// describeGateways writes status.gateways from the live objects. A load
// balancer without an address is a remark: many clusters never give one.
func (r *Reconciler) describeGateways(s *scope) {
	rows := map[string]*v1alpha1.GatewayStatus{}
	for _, i := range s.items {
		if i.stage != stageGateways || i.live == nil {
			continue
		}
		row, ok := rows[i.component.Name]
		if !ok {
			row = &v1alpha1.GatewayStatus{Namespace: i.component.Namespace}
			rows[i.component.Name] = row
		}
		switch i.object.GetKind() {
		case "Deployment":
			report, err := health.Of(i.live)
			row.Name, row.Ready = i.object.GetName(), err == nil && report.Ready
		case "Service":
			row.Addresses = addresses(i.live)
			if len(row.Addresses) == 0 {
				s.notes = append(s.notes, health.Name(i.live)+" has no address yet")
			}
		}
	}
	out := make([]v1alpha1.GatewayStatus, 0, len(rows))
	for _, row := range rows {
		if row.Name != "" {
			out = append(out, *row)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.GatewayStatus) int { return cmp.Compare(a.Name, b.Name) })
	s.revision.Status.Gateways = out
}

func addresses(object *unstructured.Unstructured) []string {
	service := &corev1.Service{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, service); err != nil {
		return nil
	}
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		if service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone {
			return nil
		}
		return []string{service.Spec.ClusterIP}
	}
	var out []string
	for _, point := range service.Status.LoadBalancer.Ingress {
		out = append(out, cmp.Or(point.IP, point.Hostname))
	}
	return out
}

// selectorOf returns the labels that a Deployment's pods have.
func selectorOf(object *unstructured.Unstructured) (map[string]string, bool) {
	labels, ok, err := unstructured.NestedStringMap(object.Object, "spec", "selector", "matchLabels")
	return labels, ok && err == nil
}
