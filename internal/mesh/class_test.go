// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshwright/meshwright/internal/ir"
)

// TestClassSaysHowItSpeaks: proxies whose pods say other things of what they serve are
// of other classes, and what the pods say goes before what the mesh says.
func TestClassSaysHowItSpeaks(t *testing.T) {
	mesh := &ir.Mesh{Edge: ir.EdgeTopology{TrustedProxies: 1}, Dialect: ir.Dialect{Server: "mesh"}}
	keys := map[string]string{}
	for _, c := range []struct {
		metadata map[string]any
		edge     ir.EdgeTopology
		dialect  ir.Dialect
	}{
		{nil, mesh.Edge, mesh.Dialect},
		{map[string]any{"HTTP10": "1"}, mesh.Edge, ir.Dialect{Server: "mesh", HTTP10: true}},
		{map[string]any{"PROXY_CONFIG": "gatewayTopology: {numTrustedProxies: 2}"}, ir.EdgeTopology{TrustedProxies: 2}, mesh.Dialect},
		{map[string]any{"PROXY_CONFIG": "gatewayTopology: {}"}, ir.EdgeTopology{}, mesh.Dialect},
		{map[string]any{"PROXY_CONFIG": "proxyHeaders: {preserveHttp1HeaderCase: true}"}, mesh.Edge, ir.Dialect{PreserveCase: true}},
		{map[string]any{"PROXY_CONFIG": "gatewayTopology: {numTrustedProxies: 999}", "X": "not of a class"}, mesh.Edge, mesh.Dialect},
	} {
		fields := map[string]any{"NAMESPACE": "edge"}
		for k, v := range c.metadata {
			fields[k] = v
		}
		metadata, err := structpb.NewStruct(fields)
		if err != nil {
			t.Fatal(err)
		}
		class, err := classOf(&corev3.Node{Id: "router~10.0.0.1~a.edge~edge.svc.cluster.local", Metadata: metadata})
		if err != nil {
			t.Fatal(err)
		}
		if class.Topology(mesh) != c.edge || class.Speaks(mesh) != c.dialect {
			t.Errorf("%v: %+v, %+v", c.metadata, class.Topology(mesh), class.Speaks(mesh))
		}
		key := classKey(class)
		if _, odd := c.metadata["X"]; odd {
			if keys[key] == "" {
				t.Errorf("%v: a class of its own", c.metadata)
			}
			continue
		}
		if keys[key] != "" {
			t.Errorf("%v: the class of %s", c.metadata, keys[key])
		}
		keys[key] = metadata.String() + "."
	}
}

// TestClassKnowsItsFamilies: proxies with an IPv6 address are of a class of their own.
// Sidecars that capture nothing are not: they listen where they are told to.
func TestClassKnowsItsFamilies(t *testing.T) {
	keys := map[string]bool{}
	for _, c := range []struct {
		id       string
		metadata map[string]any
		want     bool
	}{
		{"sidecar~10.0.0.1~a.edge~d", map[string]any{"INSTANCE_IPS": "10.0.0.1"}, false},
		{"sidecar~10.0.0.1~a.edge~d", map[string]any{"INSTANCE_IPS": "10.0.0.1, fd00::1"}, true},
		{"sidecar~fd00::1~a.edge~d", map[string]any{"INSTANCE_IPS": "fd00::1"}, true},
		{"sidecar~fd00::1~a.edge~d", map[string]any{"INSTANCE_IPS": "fd00::1", "INTERCEPTION_MODE": "REDIRECT"}, true},
		{"sidecar~10.0.0.1~a.edge~d", map[string]any{"INSTANCE_IPS": "::ffff:10.0.0.1"}, false},
		{"sidecar~10.0.0.1~a.edge~d", map[string]any{"INSTANCE_IPS": "10.0.0.1,fd00::1", "INTERCEPTION_MODE": "NONE"}, false},
		{"router~10.0.0.1~a.edge~d", map[string]any{"INSTANCE_IPS": "10.0.0.1,fd00::1", "INTERCEPTION_MODE": "NONE"}, true},
		{"router~10.0.0.1~a.edge~d", map[string]any{"INSTANCE_IPS": "nowhere"}, false},
	} {
		c.metadata["NAMESPACE"] = "edge"
		metadata, err := structpb.NewStruct(c.metadata)
		if err != nil {
			t.Fatal(err)
		}
		class, err := classOf(&corev3.Node{Id: c.id, Metadata: metadata})
		if err != nil {
			t.Fatal(err)
		}
		if class.IPv6 != c.want {
			t.Errorf("%s %v: IPv6 is %t", c.id, c.metadata, class.IPv6)
		}
		keys[classKey(class)] = true
	}
	if len(keys) != 4 {
		t.Errorf("%d classes of two roles, each with and without IPv6", len(keys))
	}
}
