// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/helm"
)

// OperatorNamespace is where the operator is installed when nobody says otherwise.
const OperatorNamespace = "meshwright-system"

// labelChart says which chart Helm made an object from.
const labelChart = "helm.sh/chart"

// Operator returns the objects of the operator itself, its namespace first, as
// a tool other than Helm applies them: labelled with the tool's name, and
// without Helm's own labels. It is a pure function.
func Operator(charts *helm.Charts, namespace, tool string, values map[string]any) ([]*unstructured.Unstructured, error) {
	objects, err := charts.Render(helm.Release{Chart: "operator", Name: "meshwright", Namespace: namespace, Values: values}, "")
	if err != nil {
		return nil, fmt.Errorf("the operator's chart: %w", err)
	}
	out := []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": namespace, "labels": map[string]any{
			"app.kubernetes.io/part-of":          "meshwright",
			"pod-security.kubernetes.io/enforce": "restricted",
		}},
	}}}
	for _, object := range objects {
		labels := object.GetLabels()
		labels[apply.LabelManagedBy] = tool
		delete(labels, labelChart)
		object.SetLabels(labels)
		unstructured.RemoveNestedField(object.Object, "spec", "template", "metadata", "labels", labelChart)
		unstructured.RemoveNestedField(object.Object, "spec", "template", "metadata", "labels", apply.LabelManagedBy)
		out = append(out, object)
	}
	return out, nil
}
