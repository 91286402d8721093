// SPDX-License-Identifier: Apache-2.0

package census

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
)

// operatorLabels are those of the operator's Deployment, however it was installed.
var operatorLabels = client.MatchingLabels{"app.kubernetes.io/name": "meshwright-operator"}

// Operator is an installed operator.
type Operator struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Version is that of the release, Image the one that it runs.
	Version string `json:"version"`
	Image   string `json:"image"`
	// InstalledBy is the tool that looks after it: Helm, meshctl, kustomize, OLM.
	InstalledBy string `json:"installedBy"`
	// Ready of Replicas serve.
	Ready    int32 `json:"ready"`
	Replicas int32 `json:"replicas"`
}

// Operators lists the operators of a cluster; there should be one.
func Operators(ctx context.Context, reader client.Reader) ([]Operator, error) {
	var list appsv1.DeploymentList
	if err := reader.List(ctx, &list, operatorLabels); err != nil {
		return nil, fmt.Errorf("list Deployments of the operator: %w", err)
	}
	out := make([]Operator, 0, len(list.Items))
	for i := range list.Items {
		d := &list.Items[i]
		one := Operator{
			Namespace: d.Namespace, Name: d.Name, Version: d.Labels[apply.LabelVersion],
			InstalledBy: d.Labels[apply.LabelManagedBy], Ready: d.Status.ReadyReplicas, Replicas: 1,
		}
		// OLM labels what it makes of a ClusterServiceVersion.
		if d.Labels["olm.owner"] != "" {
			one.InstalledBy = "OLM"
			if one.Version == "" {
				one.Version = d.Labels["olm.owner"]
			}
		}
		if d.Spec.Replicas != nil {
			one.Replicas = *d.Spec.Replicas
		}
		if len(d.Spec.Template.Spec.Containers) > 0 {
			one.Image = d.Spec.Template.Spec.Containers[0].Image
		}
		out = append(out, one)
	}
	return out, nil
}

// ControlPlane is one MeshRevision.
type ControlPlane struct {
	Revision  string `json:"revision"`
	Namespace string `json:"namespace"`
	// Version is what the MeshRevision asks for, Image what its Deployment runs.
	Version string `json:"version"`
	Image   string `json:"image,omitempty"`
	// Ready of Replicas serve. Both are zero for a revision without a control plane.
	Ready    int32 `json:"ready"`
	Replicas int32 `json:"replicas"`
	// Condition is what the MeshRevision says of Ready: its status.
	Condition string `json:"condition"`
	// Told is what the replicas say; nil when none was asked.
	Told *Told `json:"told,omitempty"`
}

// ControlPlanes lists the MeshRevisions of a cluster with what runs of each.
// A cluster that does not know the kind has none.
func ControlPlanes(ctx context.Context, reader client.Reader) ([]ControlPlane, error) {
	var list v1alpha1.MeshRevisionList
	if err := reader.List(ctx, &list); err != nil {
		if Unknown(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list MeshRevisions: %w", err)
	}
	var deployments appsv1.DeploymentList
	if err := reader.List(ctx, &deployments, client.HasLabels{v1alpha1.LabelRevision}, client.MatchingLabels{"app.kubernetes.io/component": "controlplane"}); err != nil {
		return nil, fmt.Errorf("list Deployments of control planes: %w", err)
	}
	out := make([]ControlPlane, 0, len(list.Items))
	for i := range list.Items {
		r := &list.Items[i]
		one := ControlPlane{Revision: r.Name, Namespace: r.Spec.Namespace, Version: r.Spec.Version, Condition: string(metav1.ConditionUnknown)}
		if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); c != nil {
			one.Condition = string(c.Status)
		}
		for n := range deployments.Items {
			d := &deployments.Items[n]
			if d.Labels[v1alpha1.LabelRevision] != r.Name || len(d.Spec.Template.Spec.Containers) == 0 {
				continue
			}
			one.Image, one.Ready = d.Spec.Template.Spec.Containers[0].Image, d.Status.ReadyReplicas
			if one.Replicas = 1; d.Spec.Replicas != nil {
				one.Replicas = *d.Spec.Replicas
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// Unknown says whether the error of a list means that the API server does not
// know a kind: not yet, or no more since it was asked which it knows.
func Unknown(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }
