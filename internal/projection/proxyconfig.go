// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"maps"
	"slices"

	networking "istio.io/api/networking/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

var servedProxyConfig = serves("selector.matchLabels", "concurrency", "environmentVariables", "image.imageType")

// ProxyConfig projects a networking.istio.io ProxyConfig of any version. The row is nil when nothing of the object can be
// served. See https://istio.io/latest/docs/reference/config/networking/proxy-config/.
func (s Scope) ProxyConfig(meta *metav1.ObjectMeta, text []byte) (*ir.ProxyConfig, []ir.Problem, error) {
	in := &networking.ProxyConfig{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	n := &notes{origin: origin(KindProxyConfig, meta)}
	for _, g := range servedProxyConfig.gaps(in.ProtoReflect()) {
		n.ignored(g.at)
	}
	out := &ir.ProxyConfig{Origin: n.origin, Created: created(meta), Selector: ir.NewLabels(in.GetSelector().GetMatchLabels())}
	selects := workloadSelector(n, spec.field("selector").field("matchLabels"), out.Selector)
	if c := in.GetConcurrency(); c != nil {
		if err := proxyconfig.CheckConcurrency(c.GetValue()); err != nil {
			n.invalid(spec.field("concurrency"), "%v", err)
		} else {
			out.Workers = ir.Workers{Set: true, Number: c.GetValue()}
		}
	}
	out.Environment = environment(n, spec.field("environmentVariables"), in.GetEnvironmentVariables())
	if image := in.GetImage().GetImageType(); image != "" {
		if err := proxyconfig.CheckImageType(image); err != nil {
			n.warn(ReasonNotServed, spec.field("image").field("imageType"), "%v; it is ignored", err)
		} else {
			out.ImageType = image
		}
	}
	if !selects {
		out = nil // without the selector it would hold for other workloads
	}
	return out, n.sorted(), nil
}

// environment keeps the variables that can be set.
func environment(n *notes, at path, in map[string]string) []ir.Variable {
	if err := proxyconfig.CheckVariables(len(in)); err != nil {
		n.invalid(at, "%v; none is set", err)
		return nil
	}
	var out []ir.Variable
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if err := proxyconfig.CheckVariable(name, in[name]); err != nil {
			n.invalid(at.key(name), "%v", err)
			continue
		}
		out = append(out, ir.Variable{Name: name, Value: in[name]})
	}
	return out
}
