// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"errors"
	"fmt"
	"maps"
	"strconv"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// side is the gateways at one side of the mesh.
type side struct {
	// list is the name in spec.components, ours that in spec.gateways.
	list, ours string
	// name is the gateway of the charts. Their values hold for the whole list.
	name string
	// label is the value of the label istio of the pods.
	label string
	// inProfile are the gateways that our profile installs.
	inProfile []v1alpha1.Gateway
}

// controlPlane takes the control plane.
func (c *conversion) controlPlane(root node) {
	to := place{object: map[string]any{}, path: "components.controlPlane"}
	component, _ := root.at("components.pilot")
	values, _ := root.at("values.pilot")
	c.move(component, to, []field{
		{"enabled", "enabled", boolean},
		{"k8s.serviceAnnotations", "serviceAnnotations", textMap},
	})
	c.move(values, to, []field{{"serviceAnnotations", "serviceAnnotations", textMap}})
	name := controlPlaneName(Revision(c.spec))
	p := part{to: to, component: component, values: values, object: name, container: "controlplane", reads: controlPlaneReads}
	c.workload(root, p)
	c.component(component, to, "controlplane")
	if n, ok := values.at("image"); ok {
		c.reference(n, to, "image")
	}
	if c.installs(root) {
		c.extras(p)
		c.overlays(p, []string{"istiod", "istiod-" + Revision(c.spec), name})
	}
	if len(to.object) > 0 {
		c.top().set("components.controlPlane", to.object)
	}
}

// gateways takes both sides. A user's list replaces the profile's.
func (c *conversion) gateways(root node) error {
	sides := []side{
		{list: "ingressGateways", ours: "ingress", name: "istio-ingressgateway", label: "ingressgateway"},
		{list: "egressGateways", ours: "egress", name: "istio-egressgateway", label: "egressgateway"},
	}
	if g := c.resolved.Gateways; g != nil {
		sides[0].inProfile, sides[1].inProfile = g.Ingress, g.Egress
	}
	seen := map[string]string{}
	for _, s := range sides {
		list, err := c.side(root, s, seen)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			c.top().set("gateways."+s.ours, list)
		}
	}
	// Sidecars have annotations for it, so gateways alone are half of it.
	if n, ok := root.at("values.global.proxy.logLevel"); ok {
		if value, err := oneOf("trace", "debug", "info", "warning", "error", "critical", "off")(n.value); err == nil {
			c.top().set("values.gateway.logLevel", value)
			n.miss("gateways have it; for sidecars say it on pods: the annotation sidecar.istio.io/logLevel")
		}
	}
	return nil
}

// side returns the gateways of one side.
func (c *conversion) side(root node, s side, seen map[string]string) ([]any, error) {
	values, _ := root.at("values.gateways." + s.name)
	always := false
	if n, ok := values.at("enabled"); ok {
		if n.value == true {
			n.use()
			always = true
		} else {
			n.miss("does not take a gateway away, as in Istio; say it with spec.components." + s.list)
		}
	}
	list, given := root.at("components." + s.list)
	if !given {
		return c.implied(root, s, values, always, seen), nil
	}
	if _, ok := list.value.([]any); !ok {
		return nil, &Error{Path: list.path, Message: "must be a list"}
	}
	var out []any
	for _, n := range list.items() {
		object, ok := n.value.(map[string]any)
		if !ok {
			return nil, &Error{Path: n.path, Message: "must be an object"}
		}
		name, _ := object["name"].(string)
		if name == "" {
			name = s.name
		}
		if at, ok := seen[name]; ok {
			return nil, &Error{Path: n.path + ".name", Message: fmt.Sprintf("%q is the name of %s too; names of gateways must differ", name, at)}
		}
		seen[name] = n.path
		n.child("name").use()
		out = append(out, c.gateway(root, s, n, values, name, always))
	}
	for _, g := range s.inProfile {
		if _, ok := seen[g.Name]; !ok {
			out = append(out, map[string]any{"name": g.Name, "enabled": false})
		}
	}
	return out, nil
}

// implied returns the gateway of a side of which the spec has no list: that of
// the profile, or the one that the values turn on.
func (c *conversion) implied(root node, s side, values node, always bool, seen map[string]string) []any {
	if len(s.inProfile) == 0 && !always {
		return nil
	}
	seen[s.name] = "spec.profile"
	object := c.gateway(root, s, node{c: c}, values, s.name, always)
	if len(object) == 1 && !always {
		return nil
	}
	return []any{object}
}

// demoPorts are those of the ingress gateway of Istio's profile demo.
var demoPorts = []any{
	map[string]any{"name": "status-port", "port": float64(15021)},
	map[string]any{"name": "http2", "port": float64(80)},
	map[string]any{"name": "https", "port": float64(443)},
	map[string]any{"name": "tcp", "port": float64(31400)},
	map[string]any{"name": "tls", "port": float64(15443)},
}

// gateway returns one gateway; n has no value for one that is implied.
func (c *conversion) gateway(root node, s side, n, values node, name string, always bool) map[string]any {
	to := place{object: map[string]any{"name": name}, path: "gateways." + s.ours + "." + name}
	enabled := true
	if flag, ok := n.at("enabled"); ok {
		if value, isBool := flag.value.(bool); isBool {
			flag.use()
			enabled = value || always
			to.set("enabled", enabled)
		} else {
			flag.miss("must be true or false")
		}
	}
	c.move(n, to, []field{{"namespace", "namespace", text}, {"label", "labels", textMap}})
	c.move(values, to, []field{{"namespace", "namespace", text}})
	c.labels(s, to, values, name)
	if v, ok := values.at("name"); ok && v.value == name {
		v.use()
	}
	p := part{to: to, component: n, values: values, object: name, container: "istio-proxy", reads: func(string) bool { return true }}
	c.service(p)
	c.workload(root, p)
	c.component(n, to, "proxy")
	c.defaults(s, to, n.value == nil)
	if enabled {
		c.extras(p)
		c.overlays(p, []string{name})
	}
	return to.object
}

// labels completes the labels of the pods: those of the charts stay under the
// user's, and a gateway of another name has them too.
func (c *conversion) labels(s side, to place, values node, name string) {
	own, _ := to.object["labels"].(map[string]any)
	under, ok := values.at("labels")
	if ok {
		if more, err := textMap(under.value); err != nil {
			under.miss(err.Error())
		} else {
			under.use()
			own = merged(more, own)
		}
	}
	if own == nil && name == s.name {
		return
	}
	to.object["labels"] = merged(map[string]any{"app": s.name, "istio": s.label}, own)
}

// merged returns lower with upper over it.
func merged(lower any, upper map[string]any) map[string]any {
	out := map[string]any{}
	if object, ok := lower.(map[string]any); ok {
		maps.Copy(out, object)
	}
	maps.Copy(out, upper)
	return out
}

// defaults are what Istio's charts give to gateways that our profiles do not have.
func (c *conversion) defaults(s side, to place, implied bool) {
	demo := c.spec["profile"] == "demo"
	if demo && implied && s.ours == "ingress" && to.get("service.ports") == nil {
		to.set("service.ports", demoPorts)
	}
	for _, g := range s.inProfile {
		if g.Name == to.object["name"] {
			return
		}
	}
	if !demo && to.get("replicas") == nil && to.get("autoscaling") == nil && to.object["enabled"] != false {
		to.set("autoscaling", map[string]any{"min": float64(1), "max": float64(maxReplicas)})
	}
}

var serviceFields = []field{
	{"type", "service.type", oneOf("", "LoadBalancer", "NodePort", "ClusterIP")},
	{"loadBalancerIP", "service.loadBalancerIP", text},
	{"loadBalancerSourceRanges", "service.loadBalancerSourceRanges", textList},
	{"externalTrafficPolicy", "service.externalTrafficPolicy", oneOf("", "Cluster", "Local")},
}

// service takes a gateway's Service.
func (c *conversion) service(p part) {
	k8s, _ := p.component.at("k8s.service")
	for _, from := range []node{k8s, p.values} {
		c.move(from, p.to, serviceFields)
		n, ok := from.at("ports")
		if !ok {
			continue
		}
		if p.to.get("service.ports") != nil {
			n.miss("k8s.service.ports goes before it")
			continue
		}
		if ports := c.ports(n); len(ports) > 0 {
			p.to.set("service.ports", ports)
		}
	}
	c.move(p.component, p.to, []field{{"k8s.serviceAnnotations", "service.annotations", textMap}})
	c.move(p.values, p.to, []field{{"serviceAnnotations", "service.annotations", textMap}})
}

// ports returns the ports that a gateway can have.
func (c *conversion) ports(list node) []any {
	var out []any
	for _, n := range list.items() {
		to := place{object: map[string]any{}}
		number := n.child("port")
		if _, err := integer(1, 65535)(number.value); err != nil {
			n.miss("port " + err.Error())
			continue
		}
		if protocol, ok := n.at("protocol"); ok && protocol.value != "TCP" && protocol.value != "UDP" {
			n.miss("gateways have ports of TCP and UDP")
			continue
		}
		c.move(n, to, []field{
			{"port", "port", integer(1, 65535)},
			{"name", "name", text},
			{"protocol", "protocol", oneOf("TCP", "UDP")},
			{"nodePort", "nodePort", nodePort},
			{"targetPort", "targetPort", targetPort},
		})
		if to.object["name"] == nil {
			to.object["name"] = fmt.Sprintf("port-%.0f", number.value)
		}
		out = append(out, to.object)
	}
	return out
}

// nodePort takes a port of the nodes; 0 leaves the choice to the cluster.
func nodePort(value any) (any, error) {
	if value == float64(0) {
		return nil, nil
	}
	return integer(1, 65535)(value)
}

// targetPort takes a port that a proxy that is not root can bind.
func targetPort(value any) (any, error) {
	if s, ok := value.(string); ok {
		number, err := strconv.Atoi(s)
		if err != nil {
			return nil, errors.New("must be a number")
		}
		value = float64(number)
	}
	if _, err := integer(1024, 65535)(value); err != nil {
		return nil, fmt.Errorf("%w: a proxy is not root and binds no others", err)
	}
	return value, nil
}

// controlPlaneName returns the name of what is installed of a control plane.
func controlPlaneName(revision string) string {
	if revision == v1alpha1.DefaultRevision {
		return "meshwright"
	}
	return "meshwright-" + revision
}
