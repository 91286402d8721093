// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	corev1 "k8s.io/api/core/v1"
)

// cniFields are the fields of the CNI plugin, in spec.components and in the
// values of charts.
var cniFields = []field{
	{"components.cni.enabled", "components.cni.enabled", boolean},
	{"components.cni.namespace", "components.cni.namespace", text},
	{"components.cni.k8s.resources", "components.cni.resources", typed[corev1.ResourceRequirements]},
	{"components.cni.k8s.nodeSelector", "components.cni.nodeSelector", textMap},
	{"components.cni.k8s.tolerations", "components.cni.tolerations", typed[[]corev1.Toleration]},
	{"components.cni.k8s.affinity", "values.cni.affinity", typed[corev1.Affinity]},
	{"components.cni.k8s.podAnnotations", "components.cni.podAnnotations", textMap},
	{"components.cni.k8s.priorityClassName", "components.cni.priorityClassName", text},
	{"values.cni.cniBinDir", "components.cni.cniBinDir", text},
	{"values.cni.cniConfDir", "components.cni.cniConfDir", text},
	{"values.cni.chained", "components.cni.chained", boolean},
	{"values.cni.excludeNamespaces", "components.cni.excludeNamespaces", textList},
	{"values.cni.repair.enabled", "components.cni.repair.enabled", boolean},
	{"values.cni.repair.deletePods", "components.cni.repair.enabled", boolean},
	{"values.cni.resources", "components.cni.resources", typed[corev1.ResourceRequirements]},
	{"values.cni.affinity", "values.cni.affinity", typed[corev1.Affinity]},
	{"values.cni.podAnnotations", "components.cni.podAnnotations", textMap},
	{"values.cni.podLabels", "components.cni.podLabels", textMap},
	{"values.cni.logging.level", "values.cni.logLevel", logLevel},
	{"values.cni.resourceQuotas.enabled", "values.cni.resourceQuota.enabled", boolean},
	{"values.cni.resourceQuotas.pods", "values.cni.resourceQuota.pods", integer(1, 1<<31-1)},
	{"values.cni.seLinuxOptions", "values.cni.seLinuxOptions", textMap},
}

// cni takes the CNI plugin. Whether pods are injected for it follows.
func (c *conversion) cni(root node, top place) {
	c.move(root, top, cniFields)
	if n, ok := root.at("values.pilot.cni.enabled"); ok && n.value == top.get("components.cni.enabled") {
		n.use()
	}
}
