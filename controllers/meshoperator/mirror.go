// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
)

// phases are the conditions of a MeshRevision that a MeshOperator shows too.
var phases = []string{
	v1alpha1.ConditionCRDsReady, v1alpha1.ConditionControlPlaneReady,
	v1alpha1.ConditionWebhooksReady, v1alpha1.ConditionGatewaysReady, v1alpha1.ConditionCNIReady,
}

// mirror copies what the MeshRevision's status says into the MeshOperator's,
// and returns the message of Ready, or why the mesh is not ready.
func mirror(mesh *v1alpha1.MeshOperator, child *v1alpha1.MeshRevision) (string, error) {
	if child.Status.ObservedGeneration != child.Generation {
		// A plain error of the first reconcile is worth telling even now.
		if c := meta.FindStatusCondition(child.Status.Conditions, v1alpha1.ConditionReconciling); c != nil && c.ObservedGeneration == child.Generation {
			return "", conditions.Wait(c.Reason, 0, "%s", c.Message)
		}
		return "", conditions.Wait(v1alpha1.ReasonProgressing, 0, "MeshRevision %s is not acted on yet", child.Name)
	}
	mesh.Status.Gateways = child.Status.Gateways
	for _, name := range phases {
		c := meta.FindStatusCondition(child.Status.Conditions, name)
		if c == nil {
			meta.RemoveStatusCondition(&mesh.Status.Conditions, name)
			continue
		}
		meta.SetStatusCondition(&mesh.Status.Conditions, metav1.Condition{
			Type: name, Status: c.Status, Reason: c.Reason, Message: c.Message, ObservedGeneration: mesh.Generation,
		})
	}
	if c := meta.FindStatusCondition(child.Status.Conditions, v1alpha1.ConditionStalled); c != nil && c.Status == metav1.ConditionTrue {
		return "", conditions.Stall(c.Reason, "%s", c.Message)
	}
	ready := meta.FindStatusCondition(child.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Status == metav1.ConditionTrue {
		return ready.Message, nil
	}
	return "", conditions.Wait(reasonOf(ready), 0, "%s", progress(child))
}

func reasonOf(c *metav1.Condition) string {
	if c == nil {
		return v1alpha1.ReasonProgressing
	}
	return c.Reason
}

// progress says what a MeshRevision waits for.
func progress(child *v1alpha1.MeshRevision) string {
	for _, name := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionReady} {
		if c := meta.FindStatusCondition(child.Status.Conditions, name); c != nil && c.Status != "" && c.Message != "" {
			return c.Message
		}
	}
	return "it is being worked on"
}
