// SPDX-License-Identifier: Apache-2.0

// Package istiooperator converts the spec of an IstioOperator to that of a
// MeshOperator. What has no counterpart is listed, field by field: nothing is
// lost in silence.
package istiooperator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/platform"
	"github.com/meshwright/meshwright/internal/profile"
)

// Unmapped is a field of the input that has no effect.
type Unmapped struct {
	// Path is the field, from spec on.
	Path string `json:"path"`
	// Reason says why, and what to do instead.
	Reason string `json:"reason"`
}

// Error says that a spec cannot be converted at all.
type Error struct{ Path, Message string }

// Error names the field.
func (e *Error) Error() string { return e.Path + ": " + e.Message }

// ProfileError says that a profile has no counterpart.
type ProfileError struct{ Message string }

// Error names the field.
func (e *ProfileError) Error() string { return "spec.profile: " + e.Message }

// Revision returns the revision that a spec names.
func Revision(spec map[string]any) string {
	for _, path := range []string{"revision", "values.revision"} {
		if n, ok := (node{value: spec}).at(path); ok {
			if name, ok := n.value.(string); ok && name != "" {
				return name
			}
		}
	}
	return v1alpha1.DefaultRevision
}

// Convert returns the MeshOperatorSpec of an IstioOperator in a namespace, and
// the fields that have no counterpart, sorted. It is a pure function. It fails
// with an Error or a ProfileError.
func Convert(namespace string, spec map[string]any) (v1alpha1.MeshOperatorSpec, []Unmapped, error) {
	var out v1alpha1.MeshOperatorSpec
	input, err := plain(spec)
	if err != nil {
		return out, nil, err
	}
	c := &conversion{spec: map[string]any{}, origin: map[string]string{}, done: map[string]bool{}}
	root := node{c: c, path: "spec", value: input}
	if err := c.convert(root, namespace); err != nil {
		return out, nil, err
	}
	c.rest(root)
	data, err := json.Marshal(c.spec)
	if err != nil {
		return out, nil, fmt.Errorf("encode MeshOperatorSpec: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		return v1alpha1.MeshOperatorSpec{}, nil, &Error{Path: "spec", Message: err.Error()}
	}
	slices.SortFunc(c.unmapped, func(a, b Unmapped) int { return strings.Compare(a.Path, b.Path) })
	return out, c.unmapped, nil
}

// conversion is one conversion under way.
type conversion struct {
	// spec is the MeshOperatorSpec, as JSON.
	spec map[string]any
	// origin says for a place of the spec which field of the input it is from.
	origin map[string]string
	// done are the fields of the input that are in the spec or in unmapped.
	done     map[string]bool
	unmapped []Unmapped
	// resolved is the profile alone.
	resolved v1alpha1.MeshOperatorSpec
}

func (c *conversion) convert(root node, namespace string) error {
	name, err := c.profile(root)
	if err != nil {
		return err
	}
	c.spec["profile"] = name
	if c.resolved, err = profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: name}); err != nil {
		return &ProfileError{Message: err.Error()}
	}
	top := place{object: c.spec}
	c.move(root, top, []field{
		{"revision", "revision", text},
		{"values.revision", "revision", text},
		{"components.pilot.namespace", "namespace", text},
		{"namespace", "namespace", text},
		{"values.global.istioNamespace", "namespace", text},
	})
	if _, set := c.spec["namespace"]; !set && namespace != "" {
		c.spec["namespace"] = namespace
	}
	c.images(root, top)
	for _, path := range []string{"meshConfig", "values.meshConfig"} {
		if n, ok := root.at(path); ok {
			c.mesh(n, top)
		}
	}
	c.move(root, top, globals)
	c.base(root)
	c.controlPlane(root)
	c.cni(root, top)
	if err := c.gateways(root); err != nil {
		return err
	}
	return nil
}

// globals are fields that stand alone.
var globals = []field{
	{"values.global.trustDomain", "meshConfig.trustDomain", text},
	{"values.global.platform", "platform", oneOf(append([]string{""}, platform.Names()...)...)},
	{"values.global.network", "topology.network", text},
	{"values.global.multiCluster.clusterName", "topology.clusterID", text},
	{"values.global.imagePullPolicy", "image.pullPolicy", oneOf("", "Always", "IfNotPresent", "Never")},
	{"values.global.imagePullSecrets", "image.pullSecrets", textList},
	{"values.global.logging.level", "values.controlplane.logLevel", logLevel},
	{"values.global.proxy.clusterDomain", "values.controlplane.clusterDomain", text},
	{"values.global.proxy.clusterDomain", "values.gateway.clusterDomain", text},
	{"values.global.proxy.holdApplicationUntilProxyStarts", "meshConfig.defaultConfig.holdApplicationUntilProxyStarts", boolean},
}

// switches are fields of which only one value is what happens here anyway.
var switches = []struct {
	path string
	// is the value that needs nothing.
	is bool
	// otherwise is why the other one is not served.
	otherwise string
}{
	{"components.ztunnel.enabled", false, "there is no ambient mode; workloads have sidecars"},
	{"components.istiodRemote.enabled", false, "a control plane elsewhere is not installed by this operator"},
	{"values.global.multiCluster.enabled", false, "clusters are joined by Secrets of remote clusters, not by this field"},
	{"values.global.proxy.privileged", false, "proxies never run privileged"},
	{"values.telemetry.enabled", true, "proxies always count; say which metrics with a Telemetry"},
}

// base deals with what is only there to be switched.
func (c *conversion) base(root node) {
	for _, s := range switches {
		if n, ok := root.at(s.path); ok {
			if value, isBool := n.value.(bool); !isBool || value != s.is {
				n.miss(s.otherwise)
				continue
			}
			n.use()
		}
	}
	if n, ok := root.at("components.base.enabled"); ok {
		if n.value == c.installs(root) {
			n.use()
		} else {
			n.miss("the CRDs are installed with the control plane, and only then")
		}
	}
}

// installs says whether the control plane is installed.
func (c *conversion) installs(root node) bool {
	if n, ok := root.at("components.pilot.enabled"); ok {
		if value, ok := n.value.(bool); ok {
			return value
		}
	}
	p := c.resolved.Components
	return p != nil && p.ControlPlane != nil && (p.ControlPlane.Enabled == nil || *p.ControlPlane.Enabled)
}

// plain returns a copy that has only what JSON has.
func plain(spec map[string]any) (map[string]any, error) {
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("decode spec: %w", err)
	}
	return out, nil
}
