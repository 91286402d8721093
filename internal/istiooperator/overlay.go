// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxOverlays is how many a MeshOperator takes.
const maxOverlays = 64

// serviceRest are fields of a Service that have no field of their own.
var serviceRest = []string{
	"externalIPs", "sessionAffinity", "sessionAffinityConfig", "loadBalancerClass", "allocateLoadBalancerNodePorts",
	"internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort", "publishNotReadyAddresses", "trafficDistribution",
}

// probeRest are the numbers of a readiness probe. What is asked, and how, is
// the program's own.
var probeRest = []string{"initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"}

// extras takes the Kubernetes settings that only an overlay can say.
func (c *conversion) extras(p part) {
	service := place{object: map[string]any{}}
	for _, name := range serviceRest {
		if n, ok := p.component.at("k8s.service." + name); ok {
			c.put(service, "spec."+name, n, n.value)
		}
	}
	if len(service.object) > 0 {
		c.overlay("Service", p.object, "patch", service.object)
	}
	pod, container := place{object: map[string]any{}}, place{object: map[string]any{}}
	c.move(p.component, pod, []field{
		{"k8s.securityContext", "securityContext", typed[corev1.PodSecurityContext]},
		{"k8s.volumes", "volumes", typed[[]corev1.Volume]},
	})
	c.move(p.component, container, []field{
		{"k8s.imagePullPolicy", "imagePullPolicy", oneOf("", "Always", "IfNotPresent", "Never")},
		{"k8s.volumeMounts", "volumeMounts", typed[[]corev1.VolumeMount]},
	})
	for _, name := range probeRest {
		c.move(p.component, container, []field{{"k8s.readinessProbe." + name, "readinessProbe." + name, integer(0, 86400)}})
	}
	if len(container.object) > 0 {
		container.set("name", p.container)
		pod.set("containers", []any{container.object})
	}
	if len(pod.object) > 0 {
		c.overlay("Deployment", p.object, "patch", map[string]any{"spec": map[string]any{"template": map[string]any{"spec": pod.object}}})
	}
}

// overlay adds an overlay; false when there are too many.
func (c *conversion) overlay(kind, name, how string, value any) bool {
	list, _ := c.spec["overlays"].([]any)
	if len(list) >= maxOverlays {
		return false
	}
	c.spec["overlays"] = append(list, map[string]any{"kind": kind, "name": name, how: value})
	return true
}

// versions are the kinds that overlays change, with their API versions.
var versions = map[string]string{"Deployment": "apps/v1", "Service": "v1", "ServiceAccount": "v1"}

// overlays takes a user's overlays of a component, of which the object has one
// of some names.
func (c *conversion) overlays(p part, names []string) {
	list, ok := p.component.at("k8s.overlays")
	if !ok {
		return
	}
	for _, n := range list.items() {
		kind, _ := n.child("kind").value.(string)
		name, _ := n.child("name").value.(string)
		if kind == "ServiceAccount" {
			name = strings.TrimSuffix(name, "-service-account")
		}
		if versions[kind] == "" || !slices.Contains(names, name) {
			n.miss(fmt.Sprintf("no %s %s is installed for this component, or only at times; overlays change its Deployment, Service and ServiceAccount", kind, name))
			continue
		}
		n.child("kind").use()
		n.child("name").use()
		if version, ok := n.at("apiVersion"); ok && version.value == versions[kind] {
			version.use()
		}
		patches, _ := n.at("patches")
		for _, patch := range patches.items() {
			c.patch(p, kind, patch)
		}
	}
}

// patch takes one patch of an overlay.
func (c *conversion) patch(p part, kind string, n node) {
	text, _ := n.child("path").value.(string)
	path, err := parsePath(text)
	if err != nil {
		n.miss(err.Error())
		return
	}
	value := n.child("value").value
	if s, ok := value.(string); ok && strings.Contains(s, "\n") && strings.Contains(s, ":") {
		n.miss("the value is an object as text; write the object")
		return
	}
	if len(path) > 1 && path[0].name == "metadata" && (path[1].name == "name" || path[1].name == "namespace") {
		n.miss("an overlay must not rename or move an object")
		return
	}
	how, made := "patch", any(nil)
	if operation, ok := argument(p, path, value); ok {
		how, made = "jsonPatch", []any{operation}
	} else if made, err = (patch{part: p, kind: kind}).build(path, "", value); err != nil {
		n.miss(err.Error())
		return
	}
	if !c.overlay(kind, p.object, how, made) {
		n.miss(fmt.Sprintf("more than %d overlays", maxOverlays))
		return
	}
	n.use()
}

// flags are those of the control plane that charts have no value for.
var flags = []string{"--kube-api-qps=", "--kube-api-burst=", "--shutdown-grace=", "--certificate-ttl=", "--cluster-domain=", "--log-level="}

// argument returns what adds an argument to the control plane that it knows.
func argument(p part, path []step, value any) (map[string]any, bool) {
	s, ok := value.(string)
	last := len(path) - 1
	if !ok || p.container != "controlplane" || last < 1 || path[last-1].name != "args" || !path[last].byIndex || path[last].index != -1 {
		return nil, false
	}
	if !slices.ContainsFunc(flags, func(flag string) bool { return strings.HasPrefix(s, flag) }) {
		return nil, false
	}
	return map[string]any{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": s}, true
}

// patch makes a strategic merge patch of a path and a value.
type patch struct {
	part part
	kind string
}

// mergeKeys are the fields by which Kubernetes merges the items of lists.
var mergeKeys = map[string]string{
	"containers": "name", "initContainers": "name", "env": "name", "volumes": "name", "imagePullSecrets": "name",
	"volumeMounts": "mountPath", "volumeDevices": "devicePath", "hostAliases": "ip", "secrets": "name",
}

func (b patch) mergeKey(list string) string {
	if list != "ports" {
		return mergeKeys[list]
	}
	if b.kind == "Service" {
		return "port"
	}
	return "containerPort"
}

// build returns what a patch has at a path; list is the field that the path is
// in. A value that is not there deletes.
func (b patch) build(path []step, list string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	s, rest := path[0], path[1:]
	if s.name == "" {
		return b.item(s, rest, list, value)
	}
	if list == "" && len(path) == 1 {
		return nil, errors.New("the path must lead into the object, for example spec.replicas")
	}
	if (s.name == "args" || s.name == "command") && b.kind == "Deployment" {
		return nil, errors.New("the arguments of Istio's programs are not those of this mesh's; of the control plane's own, " +
			"spec.template.spec.containers.[name:discovery].args.[-1] adds " + strings.Join(flags, "..., ") + "...")
	}
	under, err := b.build(rest, s.name, value)
	if err != nil {
		return nil, err
	}
	return map[string]any{s.name: under}, nil
}

// item returns a list with the one item that a step selects.
func (b patch) item(s step, rest []step, list string, value any) (any, error) {
	key := b.mergeKey(list)
	if key == "" {
		return nil, fmt.Errorf("items of %s cannot be selected; give the whole list", list)
	}
	if s.byIndex && s.index == -1 && len(rest) == 0 {
		object, ok := value.(map[string]any)
		if !ok || object[key] == nil {
			return nil, fmt.Errorf("an item of %s needs %s", list, key)
		}
		return []any{object}, b.variable(list, object[key])
	}
	if s.byIndex && s.index == 0 && list == "containers" {
		s = step{key: "name", value: b.part.container}
	}
	if s.key != key {
		return nil, fmt.Errorf("items of %s are selected by %s, as [%s:VALUE]", list, key, key)
	}
	selected, err := b.selected(list, key, s.value)
	if err != nil {
		return nil, err
	}
	under, err := b.build(rest, s.value, value)
	if err != nil {
		return nil, err
	}
	if under == nil {
		return []any{map[string]any{key: selected, "$patch": "delete"}}, nil
	}
	object, ok := under.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("an item of %s is an object", list)
	}
	object = maps.Clone(object)
	object[key] = selected
	return []any{object}, nil
}

// selected returns the value that an item is selected by here.
func (b patch) selected(list, key, value string) (any, error) {
	switch {
	case list == "containers":
		if value != b.part.container && (value != "discovery" || b.part.container != "controlplane") {
			return nil, fmt.Errorf("the Deployment has no container %s", value)
		}
		return b.part.container, nil
	case strings.HasSuffix(strings.ToLower(key), "port"):
		number, err := strconv.Atoi(value)
		if err != nil {
			return nil, fmt.Errorf("%s must be a number", key)
		}
		return float64(number), nil
	}
	return value, b.variable(list, value)
}

// variable refuses variables that the program does not read.
func (b patch) variable(list string, name any) error {
	if s, _ := name.(string); list == "env" && !b.part.reads(s) {
		return fmt.Errorf("%s is a setting of istiod, which this control plane does not read", s)
	}
	return nil
}
