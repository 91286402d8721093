// SPDX-License-Identifier: Apache-2.0

package revision

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// Autoscaling fields that a spec may leave open.
const (
	defaultMin       = int32(1)
	defaultTargetCPU = int32(80)
)

// restricted are the target ports of the well-known ports, which a proxy that
// is not root cannot bind.
var restricted = map[int32]int32{80: 8080, 443: 8443}

// eastWestPorts are the ports of a gateway between networks that names none.
var eastWestPorts = []v1alpha1.GatewayPort{
	{Name: "status-port", Port: 15021}, {Name: "tls", Port: 15443}, {Name: "tls-xds", Port: 15012}, {Name: "tls-webhook", Port: 15017},
}

func (p plan) controlPlaneValues(c v1alpha1.ControlPlane, gateways []placed, parts []any) (map[string]any, error) {
	values := p.common(p.name, p.identity)
	if len(parts) > 0 {
		values["parts"] = parts
	}
	if hooks := p.webhooks(); p.name == p.front && len(hooks) > 0 {
		values["webhooks"] = hooks
	}
	if m := p.spec.MeshConfig; m != nil {
		mesh, err := meshValues(m)
		if err != nil {
			return nil, err
		}
		values["meshConfig"] = mesh
	}
	var elsewhere []any
	for _, g := range gateways {
		if ns := p.namespaceOf(g.Gateway); ns != p.namespace && !slices.Contains(elsewhere, any(ns)) {
			elsewhere = append(elsewhere, ns)
		}
	}
	if len(elsewhere) > 0 {
		values["gatewayNamespaces"] = elsewhere
	}
	if len(c.ServiceAnnotations) > 0 {
		values["serviceAnnotations"] = stringMap(c.ServiceAnnotations)
	}
	setString(values, "proxyImage", p.identity.Proxy)
	if p.cni() != nil {
		values["cni"] = map[string]any{"enabled": true}
	}
	if err := workload(values, c.Workload); err != nil {
		return nil, err
	}
	if p.spec.Values == nil {
		return values, nil
	}
	return over(values, p.spec.Values.ControlPlane, "controlplane")
}

func (p plan) gatewayValues(g placed) (map[string]any, error) {
	values := p.common(p.layout.Gateways.Revision, p.layout.Gateways.Identity)
	values["name"] = g.Name
	values["controlPlane"] = map[string]any{"namespace": p.namespace}
	if m := p.spec.MeshConfig; m != nil {
		setString(values, "trustDomain", m.TrustDomain)
	}
	labels := map[string]any{"app": g.Name, "istio": g.side + "gateway"}
	if len(g.Labels) > 0 {
		labels = stringMap(g.Labels)
	}
	values["labels"] = labels
	values["service"] = service(g)
	if err := workload(values, g.Workload); err != nil {
		return nil, err
	}
	if p.spec.Values == nil {
		return values, nil
	}
	return over(values, p.spec.Values.Gateway, "gateway")
}

// image says where the images of all charts come from.
func (p plan) image(identity v1alpha1.Identity) map[string]any {
	var spec v1alpha1.Image
	if p.spec.Image != nil {
		spec = *p.spec.Image
	}
	image := map[string]any{"tag": identity.Tag}
	setString(image, "registry", identity.Registry)
	setString(image, "pullPolicy", string(spec.PullPolicy))
	if d := identity.Digests; d != nil && *d != (v1alpha1.Digests{}) {
		digests := map[string]any{}
		setString(digests, "controlplane", string(d.ControlPlane))
		setString(digests, "proxy", string(d.Proxy))
		setString(digests, "cni", string(d.CNI))
		image["digests"] = digests
	}
	if len(spec.PullSecrets) > 0 {
		image["pullSecrets"] = stringList(spec.PullSecrets)
	}
	return image
}

// common are the values that the charts of the control plane and of gateways share.
func (p plan) common(revision string, identity v1alpha1.Identity) map[string]any {
	values := map[string]any{"revision": revision, "image": p.image(identity)}
	if t := p.spec.Topology; t != nil {
		setString(values, "clusterID", t.ClusterID)
		setString(values, "network", t.Network)
	}
	return values
}

func service(g placed) map[string]any {
	var spec v1alpha1.GatewayService
	if g.Service != nil {
		spec = *g.Service
	}
	kind := "LoadBalancer"
	if g.side == "egress" {
		kind = "ClusterIP"
	}
	out := map[string]any{"type": cmp.Or(string(spec.Type), kind)}
	wanted := spec.Ports
	if len(wanted) == 0 && g.side == "eastwest" {
		wanted = eastWestPorts
	}
	if len(wanted) > 0 {
		ports := make([]any, len(wanted))
		for i, port := range wanted {
			ports[i] = servicePort(port)
		}
		out["ports"] = ports
	}
	if len(spec.Annotations) > 0 {
		out["annotations"] = stringMap(spec.Annotations)
	}
	setString(out, "loadBalancerIP", spec.LoadBalancerIP)
	if len(spec.LoadBalancerSourceRanges) > 0 {
		out["loadBalancerSourceRanges"] = stringList(spec.LoadBalancerSourceRanges)
	}
	setString(out, "externalTrafficPolicy", spec.ExternalTrafficPolicy)
	return out
}

func servicePort(port v1alpha1.GatewayPort) map[string]any {
	target := cmp.Or(restricted[port.Port], port.Port)
	if port.TargetPort != nil {
		target = *port.TargetPort
	}
	out := map[string]any{"name": port.Name, "port": port.Port, "targetPort": target}
	setString(out, "protocol", port.Protocol)
	if port.NodePort != nil {
		out["nodePort"] = *port.NodePort
	}
	return out
}

// workload adds the values of a Deployment.
func workload(values map[string]any, w v1alpha1.Workload) error {
	if w.Replicas != nil {
		values["replicas"] = *w.Replicas
	}
	if a := w.Autoscaling; a != nil {
		scale := map[string]any{"enabled": true, "min": defaultMin, "max": a.Max, "targetCPU": defaultTargetCPU}
		if a.Min != nil {
			scale["min"] = *a.Min
		}
		if a.TargetCPU != nil {
			scale["targetCPU"] = *a.TargetCPU
		}
		values["autoscaling"] = scale
	}
	if len(w.NodeSelector) > 0 {
		values["nodeSelector"] = stringMap(w.NodeSelector)
	}
	if len(w.PodAnnotations) > 0 {
		values["podAnnotations"] = stringMap(w.PodAnnotations)
	}
	if len(w.PodLabels) > 0 {
		values["podLabels"] = stringMap(w.PodLabels)
	}
	setString(values, "priorityClassName", w.PriorityClassName)
	if w.Resources != nil {
		values["resources"] = w.Resources
	}
	if len(w.Tolerations) > 0 {
		values["tolerations"] = w.Tolerations
	}
	if w.Affinity != nil {
		values["affinity"] = w.Affinity
	}
	if len(w.Env) > 0 {
		values["env"] = w.Env
	}
	if len(w.TopologySpreadConstraints) > 0 {
		values["topologySpreadConstraints"] = w.TopologySpreadConstraints
	}
	if b := w.PodDisruptionBudget; b != nil {
		values["podDisruptionBudget"] = b
	}
	if w.Strategy != nil {
		values["strategy"] = w.Strategy
	}
	setString(values, "imageReference", w.Image)
	return plain(values)
}

// plain replaces what is of an API type by what its JSON says, because
// templates see JSON.
func plain(values map[string]any) error {
	data, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encode values: %w", err)
	}
	clear(values)
	if err := json.Unmarshal(data, &values); err != nil {
		return fmt.Errorf("decode values: %w", err)
	}
	return nil
}

// over returns values with the user's own over them.
func over(values map[string]any, user *apiextensionsv1.JSON, chart string) (map[string]any, error) {
	if user == nil || len(user.Raw) == 0 {
		return values, nil
	}
	upper := map[string]any{}
	if err := json.Unmarshal(user.Raw, &upper); err != nil {
		return nil, fmt.Errorf("spec.values.%s: not an object: %w", chart, err)
	}
	return mergeValues(values, upper), nil
}

func mergeValues(lower, upper map[string]any) map[string]any {
	out := maps.Clone(lower)
	for key, value := range upper {
		under, isMap := out[key].(map[string]any)
		object, wantsMap := value.(map[string]any)
		if isMap && wantsMap {
			out[key] = mergeValues(under, object)
			continue
		}
		out[key] = value
	}
	return out
}

func setString(values map[string]any, key, value string) {
	if value != "" {
		values[key] = value
	}
}

func stringMap(in map[string]string) map[string]any {
	out := make(map[string]any, len(in))
	for key, value := range in {
		out[key] = value
	}
	return out
}

func stringList(in []string) []any {
	out := make([]any, len(in))
	for i, value := range in {
		out[i] = value
	}
	return out
}
