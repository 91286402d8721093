// SPDX-License-Identifier: Apache-2.0

package revision

import (
	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// cni is the CNI plugin, if it is wanted. The base says that it is not.
func (p plan) cni() *v1alpha1.CNI {
	if p.spec.Components == nil || p.spec.Components.CNI == nil || !enabled(p.spec.Components.CNI.Enabled) {
		return nil
	}
	return p.spec.Components.CNI
}

func (p plan) cniValues(c *v1alpha1.CNI) (map[string]any, error) {
	values := map[string]any{"image": p.image(p.layout.Gateways.Identity)}
	setString(values, "cniBinDir", c.BinDir)
	setString(values, "cniConfDir", c.ConfDir)
	if c.Chained != nil {
		values["chained"] = *c.Chained
	}
	if c.ExcludeNamespaces != nil {
		values["excludeNamespaces"] = stringList(c.ExcludeNamespaces)
	}
	if c.Repair != nil && c.Repair.Enabled != nil {
		values["repair"] = map[string]any{"enabled": *c.Repair.Enabled}
	}
	if c.Strategy != nil {
		values["strategy"] = c.Strategy
	}
	err := workload(values, v1alpha1.Workload{
		Resources: c.Resources, NodeSelector: c.NodeSelector, Tolerations: c.Tolerations,
		PodAnnotations: c.PodAnnotations, PodLabels: c.PodLabels, Env: c.Env, PriorityClassName: c.PriorityClassName, Image: c.Image,
	})
	if err != nil {
		return nil, err
	}
	if p.spec.Values == nil {
		return values, nil
	}
	return over(values, p.spec.Values.CNI, "cni")
}
