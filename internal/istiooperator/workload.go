// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"math"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// part is one Deployment: the control plane or a gateway.
type part struct {
	to place
	// component is its entry in spec.components, values that of the charts.
	component, values node
	// object is the name of what is installed, container that of its main container.
	object, container string
	// reads says whether the program reads a variable of its environment.
	reads func(name string) bool
}

// workloadFields are the fields that every Deployment has, in spec.components
// and in the values of charts.
var (
	workloadFields = []field{
		{"k8s.resources", "resources", typed[corev1.ResourceRequirements]},
		{"k8s.nodeSelector", "nodeSelector", textMap},
		{"k8s.tolerations", "tolerations", typed[[]corev1.Toleration]},
		{"k8s.affinity", "affinity", typed[corev1.Affinity]},
		{"k8s.podAnnotations", "podAnnotations", textMap},
		{"k8s.priorityClassName", "priorityClassName", text},
		{"k8s.strategy", "strategy", typed[appsv1.DeploymentStrategy]},
	}
	chartFields = []field{
		{"resources", "resources", typed[corev1.ResourceRequirements]},
		{"nodeSelector", "nodeSelector", textMap},
		{"tolerations", "tolerations", typed[[]corev1.Toleration]},
		{"affinity", "affinity", typed[corev1.Affinity]},
		{"podAnnotations", "podAnnotations", textMap},
		{"podLabels", "podLabels", textMap},
		{"topologySpreadConstraints", "topologySpreadConstraints", typed[[]corev1.TopologySpreadConstraint]},
	}
	// mixedFields are for all Deployments that do not say it themselves.
	mixedFields = []field{
		{"values.global.priorityClassName", "priorityClassName", text},
		{"values.global.defaultNodeSelector", "nodeSelector", textMap},
		{"values.global.defaultTolerations", "tolerations", typed[[]corev1.Toleration]},
		{"values.global.defaultResources", "resources", typed[corev1.ResourceRequirements]},
	}
)

// workload takes what every Deployment has.
func (c *conversion) workload(root node, p part) {
	c.move(p.component, p.to, workloadFields)
	c.move(p.values, p.to, chartFields)
	c.rolling(p)
	c.budget(p)
	c.environment(p)
	c.scale(p)
	for _, f := range mixedFields {
		// Who says it himself is not asked; another may not say it.
		if p.to.get(f.to) == nil {
			c.move(root, p.to, []field{f})
		}
	}
}

// rolling takes the strategy in the way of the charts.
func (c *conversion) rolling(p part) {
	for _, f := range []field{{"rollingMaxSurge", "maxSurge", amount}, {"rollingMaxUnavailable", "maxUnavailable", amount}} {
		n, ok := p.values.at(f.from)
		if !ok {
			continue
		}
		value, err := f.as(n.value)
		if err != nil {
			n.miss(err.Error())
			continue
		}
		if p.to.get("strategy") != nil && p.to.get("strategy.type") != "RollingUpdate" {
			n.miss("k8s.strategy goes before it")
			continue
		}
		p.to.set("strategy.type", "RollingUpdate")
		c.put(p.to, "strategy.rollingUpdate."+f.to, n, value)
	}
}

// amount takes a number of pods or a percentage.
func amount(value any) (any, error) { return typed[intstr.IntOrString](value) }

func (c *conversion) budget(p part) {
	for _, name := range []string{"minAvailable", "maxUnavailable"} {
		n, ok := p.component.at("k8s.podDisruptionBudget." + name)
		if !ok {
			continue
		}
		value, err := amount(n.value)
		switch {
		case err != nil:
			n.miss("must be a number or a percentage")
		case p.to.get("podDisruptionBudget") != nil:
			n.miss("a budget has minAvailable or maxUnavailable, not both")
		default:
			c.put(p.to, "podDisruptionBudget."+name, n, value)
		}
	}
}

// environment takes variables that the program reads: a list of the component
// and an object of the values.
func (c *conversion) environment(p part) {
	var out []any
	names := map[string]bool{}
	add := func(n node, name string, variable any) {
		switch {
		case !p.reads(name):
			n.miss("is a setting of istiod, which this control plane does not read")
		case names[name]:
			n.miss("the variable is set before")
		default:
			names[name] = true
			out = append(out, variable)
			n.use()
		}
	}
	if list, ok := p.component.at("k8s.env"); ok {
		for _, n := range list.items() {
			if _, err := typed[corev1.EnvVar](n.value); err != nil {
				n.miss(err.Error())
				continue
			}
			name, _ := n.child("name").value.(string)
			add(n, name, n.value)
		}
	}
	if object, ok := p.values.at("env"); ok {
		for _, name := range object.names() {
			n := object.child(name)
			value, ok := scalar(n.value)
			if !ok {
				n.miss("must be text")
				continue
			}
			add(n, name, map[string]any{"name": name, "value": value})
		}
	}
	if len(out) > 0 {
		p.to.set("env", out)
	}
}

// general are variables that every program in Go reads.
var general = []string{
	"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOTRACEBACK", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// controlPlaneReads says whether the control plane reads a variable.
func controlPlaneReads(name string) bool {
	return slices.Contains(general, name) || strings.HasPrefix(name, "GRPC_")
}

// maxReplicas is where the charts end that a user turns autoscaling on in.
const maxReplicas = 5

// scale takes the number of pods, fixed or by an autoscaler.
func (c *conversion) scale(p part) {
	fixed, off := c.fixed(p)
	auto := place{object: map[string]any{}, path: p.to.path + ".autoscaling"}
	for _, s := range scaling(p) {
		value, err := integer(1, 1000)(s.n.value)
		switch {
		case off:
			s.n.miss("autoscaleEnabled is false")
		case err != nil:
			s.n.miss(err.Error())
		default:
			c.put(auto, s.to, s.n, value)
		}
	}
	on, _ := p.values.at("autoscaleEnabled")
	switch {
	case !off && (len(auto.object) > 0 || on.value == true):
		c.autoscale(p, auto, fixed)
	case fixed != nil:
		p.to.set("replicas", fixed.value)
		fixed.use()
	case off:
		p.to.set("replicas", float64(1))
	}
}

// scaled is a field of the input for an autoscaler.
type scaled struct {
	n  node
	to string
}

// scaling returns the fields for an autoscaler, those that go first first.
func scaling(p part) []scaled {
	var out []scaled
	for _, f := range []struct {
		from     node
		path, to string
	}{
		{p.component, "k8s.hpaSpec.minReplicas", "min"},
		{p.component, "k8s.hpaSpec.maxReplicas", "max"},
		{p.values, "autoscaleMin", "min"},
		{p.values, "autoscaleMax", "max"},
	} {
		if n, ok := f.from.at(f.path); ok {
			out = append(out, scaled{n, f.to})
		}
	}
	if n, ok := utilization(p.component); ok {
		out = append(out, scaled{n, "targetCPU"})
	}
	if n, ok := p.values.at("cpu.targetAverageUtilization"); ok {
		out = append(out, scaled{n, "targetCPU"})
	}
	return out
}

// autoscale completes the autoscaler: the API has no default for its end.
func (c *conversion) autoscale(p part, auto place, fixed *node) {
	if auto.object["max"] == nil {
		least, _ := auto.object["min"].(float64)
		auto.object["max"] = math.Max(maxReplicas, least)
	}
	p.to.set("autoscaling", auto.object)
	if fixed != nil {
		fixed.miss("an autoscaler decides; its bounds go before it")
	}
}

// fixed returns the number of pods that is asked for, and whether autoscaling
// is turned off.
func (c *conversion) fixed(p part) (*node, bool) {
	var out *node
	for _, from := range []struct {
		node node
		path string
	}{{p.component, "k8s.replicaCount"}, {p.values, "replicaCount"}} {
		n, ok := from.node.at(from.path)
		if !ok {
			continue
		}
		_, err := integer(0, 1000)(n.value)
		switch {
		case err != nil:
			n.miss(err.Error())
		case out != nil && out.value != n.value:
			n.miss(out.path + " goes before it")
		case out != nil:
			n.use()
		default:
			out = &n
		}
	}
	off := false
	if n, ok := p.values.at("autoscaleEnabled"); ok {
		if value, isBool := n.value.(bool); isBool {
			n.use()
			off = !value
		} else {
			n.miss("must be true or false")
		}
	}
	return out, off
}

// utilization returns the wished use of CPU of an autoscaler, in either of the
// versions that its API had.
func utilization(component node) (node, bool) {
	metrics, ok := component.at("k8s.hpaSpec.metrics")
	if !ok {
		return node{}, false
	}
	for _, n := range metrics.items() {
		if name, _ := n.at("resource.name"); name.value != "cpu" {
			continue
		}
		for _, path := range []string{"resource.target.averageUtilization", "resource.targetAverageUtilization"} {
			value, ok := n.at(path)
			if !ok {
				continue
			}
			for said, want := range map[string]string{"type": "Resource", "resource.name": "cpu", "resource.target.type": "Utilization"} {
				if s, ok := n.at(said); ok && s.value == want {
					s.use()
				}
			}
			return value, true
		}
	}
	return node{}, false
}
