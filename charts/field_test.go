// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// arrival says where a field of a MeshOperator ends up: the field, its value in YAML, and the object and the field there.
type arrival struct{ field, value, kind, at, want string }

const digest = "sha256:00000000000000000000000000000000000000000000000000000000000000ff"

// workloadArrivals are of the fields that control planes and gateways share.
var workloadArrivals = []arrival{
	{"replicas", `4`, "Deployment", "spec.replicas", "4"},
	{"autoscaling.min", `{min: 3, max: 7}`, "HorizontalPodAutoscaler", "spec.minReplicas", "3"},
	{"autoscaling.max", `{min: 3, max: 7}`, "HorizontalPodAutoscaler", "spec.maxReplicas", "7"},
	{"autoscaling.targetCPU", `{max: 7, targetCPU: 55}`, "HorizontalPodAutoscaler", "spec.metrics.0.resource.target.averageUtilization", "55"},
	{"resources", `{limits: {cpu: 900m}}`, "Deployment", "spec.template.spec.containers.0.resources.limits.cpu", "900m"},
	{"nodeSelector", `{pool: mesh}`, "Deployment", "spec.template.spec.nodeSelector.pool", "mesh"},
	{"tolerations", `[{key: mesh, operator: Exists}]`, "Deployment", "spec.template.spec.tolerations.0.key", "mesh"},
	{"affinity", `{podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 9, podAffinityTerm: {topologyKey: rack}}]}}`, "Deployment", "spec.template.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution.0.weight", "9"},
	{"podAnnotations", `{team: mesh}`, "Deployment", "spec.template.metadata.annotations.team", "mesh"},
	{"podLabels", `{tier: edge}`, "Deployment", "spec.template.metadata.labels.tier", "edge"},
	{"env", `[{name: GOGC, value: "50"}]`, "Deployment", "spec.template.spec.containers.0.env.-1.value", "50"},
	{"priorityClassName", `high`, "Deployment", "spec.template.spec.priorityClassName", "high"},
	{"topologySpreadConstraints", `[{maxSkew: 3, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]`, "Deployment", "spec.template.spec.topologySpreadConstraints.0.topologyKey", "rack"},
	{"podDisruptionBudget.minAvailable", `{minAvailable: 2}`, "PodDisruptionBudget", "spec.minAvailable", "2"},
	{"podDisruptionBudget.maxUnavailable", `{maxUnavailable: 30%}`, "PodDisruptionBudget", "spec.maxUnavailable", "30%"},
	{"strategy", `{rollingUpdate: {maxSurge: 40%}}`, "Deployment", "spec.strategy.rollingUpdate.maxSurge", "40%"},
	{"image", `r.example/x:y`, "Deployment", "spec.template.spec.containers.0.image", "r.example/x:y"},
}

var gatewayArrivals = []arrival{
	{"name", ``, "Deployment", "metadata.name", "door"},
	{"namespace", `edge`, "Deployment", "metadata.namespace", "edge"},
	{"enabled", `false`, "Deployment", "", ""},
	{"labels", `{istio: door}`, "Deployment", "spec.template.metadata.labels.istio", "door"},
	{"service.type", `{type: NodePort}`, "Service", "spec.type", "NodePort"},
	{"service.annotations", `{annotations: {a: b}}`, "Service", "metadata.annotations.a", "b"},
	{"service.loadBalancerIP", `{loadBalancerIP: 192.0.2.7}`, "Service", "spec.loadBalancerIP", "192.0.2.7"},
	{"service.loadBalancerSourceRanges", `{loadBalancerSourceRanges: [192.0.2.0/24]}`, "Service", "spec.loadBalancerSourceRanges.0", "192.0.2.0/24"},
	{"service.externalTrafficPolicy", `{externalTrafficPolicy: Local}`, "Service", "spec.externalTrafficPolicy", "Local"},
	{"service.ports.name", `{ports: [{name: db, port: 3306}]}`, "Service", "spec.ports.0.name", "db"},
	{"service.ports.port", `{ports: [{name: db, port: 3306}]}`, "Service", "spec.ports.0.port", "3306"},
	{"service.ports.targetPort", `{ports: [{name: db, port: 3306, targetPort: 9306}]}`, "Service", "spec.ports.0.targetPort", "9306"},
	{"service.ports.protocol", `{ports: [{name: db, port: 3306, protocol: UDP}]}`, "Service", "spec.ports.0.protocol", "UDP"},
	{"service.ports.nodePort", `{type: NodePort, ports: [{name: db, port: 3306, nodePort: 30306}]}`, "Service", "spec.ports.0.nodePort", "30306"},
}

var controlPlaneArrivals = []arrival{
	{"enabled", `false`, "Deployment", "", ""},
	{"serviceAnnotations", `{a: b}`, "Service", "metadata.annotations.a", "b"},
}

var cniArrivals = []arrival{
	{"enabled", `true`, "DaemonSet", "metadata.name", "meshwright-cni"},
	{"namespace", `plugins`, "DaemonSet", "metadata.namespace", "plugins"},
	{"cniBinDir", `/opt/bin`, "DaemonSet", "spec.template.spec.volumes.0.hostPath.path", "/opt/bin"},
	{"cniConfDir", `/etc/plugins`, "DaemonSet", "spec.template.spec.volumes.1.hostPath.path", "/etc/plugins"},
	{"chained", `false`, "DaemonSet", "spec.template.spec.containers.0.args", "--chained=false"},
	{"excludeNamespaces", `[storage]`, "DaemonSet", "spec.template.spec.containers.0.args", "storage"},
	{"repair.enabled", `{enabled: false}`, "DaemonSet", "spec.template.spec.containers.0.args", "--repair=false"},
	{"resources", `{limits: {cpu: 900m}}`, "DaemonSet", "spec.template.spec.containers.0.resources.limits.cpu", "900m"},
	{"nodeSelector", `{pool: mesh}`, "DaemonSet", "spec.template.spec.nodeSelector.pool", "mesh"},
	{"tolerations", `[{key: mesh, operator: Exists}]`, "DaemonSet", "spec.template.spec.tolerations.0.key", "mesh"},
	{"podAnnotations", `{team: mesh}`, "DaemonSet", "spec.template.metadata.annotations.team", "mesh"},
	{"podLabels", `{tier: node}`, "DaemonSet", "spec.template.metadata.labels.tier", "node"},
	{"env", `[{name: GOGC, value: "50"}]`, "DaemonSet", "spec.template.spec.containers.0.env.-1.value", "50"},
	{"priorityClassName", `high`, "DaemonSet", "spec.template.spec.priorityClassName", "high"},
	{"strategy", `{type: OnDelete}`, "DaemonSet", "spec.updateStrategy.type", "OnDelete"},
	{"image", `r.example/x:y`, "DaemonSet", "spec.template.spec.containers.0.image", "r.example/x:y"},
}

// imageArrivals are looked for in each of the three workloads that has the field.
var imageArrivals = []arrival{
	{"registry", `r.example/mirror`, "Deployment", "spec.template.spec.containers.0.image", "r.example/mirror/controlplane:v0.1.0"},
	{"tag", `t7`, "Deployment", "spec.template.spec.containers.0.image", "ghcr.io/meshwright/controlplane:t7"},
	{"digests.controlplane", `{controlplane: "` + digest + `"}`, "Deployment", "spec.template.spec.containers.0.image", "ghcr.io/meshwright/controlplane@" + digest},
	{"digests.proxy", `{proxy: "` + digest + `"}`, "Deployment", "spec.template.spec.containers.0.args", "--proxy-image=ghcr.io/meshwright/proxy@" + digest},
	{"digests.cni", `{cni: "` + digest + `"}`, "DaemonSet", "spec.template.spec.containers.0.image", "ghcr.io/meshwright/cni@" + digest},
	{"proxy", `r.example/p:t`, "Deployment", "spec.template.spec.containers.0.args", "--proxy-image=r.example/p:t"},
	{"pullPolicy", `Always`, "Deployment", "spec.template.spec.containers.0.imagePullPolicy", "Always"},
	{"pullSecrets", `[mirror]`, "Deployment", "spec.template.spec.containers.0.args", "--image-pull-secrets=mirror"},
}

var topologyArrivals = []arrival{
	{"clusterID", `east`, "Deployment", "spec.template.spec.containers.0.args", "--cluster-id=east"},
	{"network", `net-1`, "Deployment", "spec.template.spec.containers.0.args", "--network=net-1"},
}

// TestFieldsArrive: whatever somebody says of the parts of a mesh in a MeshOperator is in the objects. Every field that
// the API has must be here.
func TestFieldsArrive(t *testing.T) {
	charts := load(t)
	for _, part := range []struct {
		name string
		// at is where the fields are in the schema, before and after is the spec around them.
		at            []string
		before, after string
		arrivals      []arrival
	}{
		{"ingress gateway", []string{"gateways", "ingress"}, "{profile: empty, gateways: {ingress: [{name: door, ", "}]}}", slices.Concat(gatewayArrivals, workloadArrivals)},
		{"egress gateway", []string{"gateways", "egress"}, "{profile: empty, gateways: {egress: [{name: door, ", "}]}}", slices.Concat(gatewayArrivals, workloadArrivals)},
		{"east-west gateway", []string{"gateways", "eastWest"}, "{profile: empty, gateways: {eastWest: [{name: door, ", "}]}}", slices.Concat(gatewayArrivals, workloadArrivals)},
		{"control plane", []string{"components", "controlPlane"}, "{profile: minimal, components: {controlPlane: {", "}}}", slices.Concat(controlPlaneArrivals, workloadArrivals)},
		{"CNI plugin", []string{"components", "cni"}, "{profile: empty, components: {cni: {enabled: true, ", "}}}", cniArrivals},
		{"image", []string{"image"}, "{profile: minimal, components: {cni: {enabled: true}}, image: {", "}}", imageArrivals},
		{"topology", []string{"topology"}, "{profile: minimal, topology: {", "}}", topologyArrivals},
	} {
		for _, a := range part.arrivals {
			said := ""
			if top, _, _ := strings.Cut(a.field, "."); a.value != "" {
				said = top + ": " + a.value
			}
			switch {
			case a.kind == "PodDisruptionBudget":
				said += ", replicas: 3" // One pod has no budget.
			case said == "enabled: true":
				said = "" // It is said for all.
			}
			spec := part.before + said + part.after
			var parsed v1alpha1.MeshOperatorSpec
			if err := yaml.UnmarshalStrict([]byte(spec), &parsed); err != nil {
				t.Fatalf("%s: %s: %v in %s", part.name, a.field, err, spec)
			}
			if problem := arrives(render(t, charts, plan(t, parsed)), a); problem != "" {
				t.Errorf("%s: %s of %s: %s", part.name, a.field, spec, problem)
			}
		}
		for _, field := range ownFields(t, part.at) {
			if !slices.ContainsFunc(part.arrivals, func(a arrival) bool {
				return field == a.field || strings.HasPrefix(field, a.field+".") || strings.HasPrefix(a.field, field+".")
			}) {
				t.Errorf("%s: nobody looks where %s arrives", part.name, field)
			}
		}
	}
}

// arrives says what is wrong with the object of an arrival's kind, or "".
func arrives(objects []*unstructured.Unstructured, a arrival) string {
	at := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == a.kind })
	switch {
	case at < 0 && a.at == "":
		return ""
	case at < 0:
		return "there is no " + a.kind
	case a.at == "":
		return "there is a " + a.kind
	}
	var value any = objects[at].Object
	for _, name := range strings.Split(a.at, ".") {
		switch inner := value.(type) {
		case map[string]any:
			value = inner[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(inner) {
				return fmt.Sprintf("%s has %v", a.at, inner)
			}
			value = inner[(i+len(inner))%len(inner)]
		}
	}
	if list, ok := value.([]any); ok {
		if !slices.ContainsFunc(list, func(one any) bool { return strings.Contains(fmt.Sprint(one), a.want) }) {
			return fmt.Sprintf("%s is %v, want %s among it", a.at, list, a.want)
		}
		return ""
	}
	if fmt.Sprint(value) != a.want {
		return fmt.Sprintf("%s is %v, want %s", a.at, value, a.want)
	}
	return ""
}

// ownFields are the fields of a part of the API as paths; what Kubernetes defines is below one of them.
func ownFields(t *testing.T, at []string) []string {
	t.Helper()
	path := []string{"spec", "versions", "0", "schema", "openAPIV3Schema", "properties", "spec"}
	for _, name := range at {
		path = append(path, "properties", name)
	}
	var out []string
	for _, field := range fieldsOf(t, "operator/files/crds/operator.meshwright.dev_meshoperators.yaml", path...) {
		if field = strings.TrimPrefix(field, "."); field != "" {
			out = append(out, field)
		}
	}
	return out
}
