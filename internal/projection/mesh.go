// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"errors"
	"fmt"
	"strings"
	"time"

	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxConnectTimeout is the most that the API takes.
const maxConnectTimeout = time.Hour

// MeshDefaults is what the mesh's configuration says for objects that do not say it.
type MeshDefaults struct {
	Clients ir.ClientDefaults
	Near    *ir.Nearness
	ByZones *ir.Nearness
	Exports Exports
}

// Mesh projects what of the mesh's configuration is written as in objects: JSON of
// defaultHttpRetryPolicy, connectTimeout, tcpKeepalive, h2UpgradePolicy,
// localityLbSetting, zoneAwareLbSetting and the defaults of exportTo, and a retryBudget as that of a
// DestinationRule. What is wrong is an error: a control plane must not start with less
// than was asked for. See
// https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig.
func Mesh(text, retryBudget []byte) (MeshDefaults, error) {
	in := &meshv1alpha1.MeshConfig{}
	if err := decode(text, in); err != nil {
		return MeshDefaults{}, err
	}
	d := &destinationRule{}
	out := MeshDefaults{Near: &ir.Nearness{}, Exports: Exports{
		Services: in.DefaultServiceExportTo, Routes: in.DefaultVirtualServiceExportTo, Policies: in.DefaultDestinationRuleExportTo,
	}}
	if in.LocalityLbSetting != nil {
		out.Near = d.nearness("localityLbSetting", in.LocalityLbSetting)
	}
	out.ByZones, _ = d.byZones("zoneAwareLbSetting", in.ZoneAwareLbSetting)
	for at, words := range map[path][]string{
		"defaultServiceExportTo": out.Exports.Services, "defaultVirtualServiceExportTo": out.Exports.Routes,
		"defaultDestinationRuleExportTo": out.Exports.Policies,
	} {
		exportTo(&d.notes, at, "any", words)
	}
	out.Clients = ir.ClientDefaults{
		Retry:          d.defaultRetry("defaultHttpRetryPolicy", in.DefaultHttpRetryPolicy),
		ConnectTimeout: d.timeout("connectTimeout", in.ConnectTimeout),
		Keepalive:      d.keepalive("tcpKeepalive", in.TcpKeepalive),
		Upgrade:        in.H2UpgradePolicy == meshv1alpha1.MeshConfig_UPGRADE,
	}
	if t := out.Clients.ConnectTimeout; t > maxConnectTimeout {
		d.notes.invalid("connectTimeout", "%v must be at most %v", t, maxConnectTimeout)
	}
	if len(retryBudget) > 0 {
		budget := &networking.TrafficPolicy_RetryBudget{}
		if err := decode(retryBudget, budget); err != nil {
			return MeshDefaults{}, fmt.Errorf("defaultRetryBudget: %w", err)
		}
		out.Clients.RetryBudget = d.retryBudget("defaultRetryBudget", budget)
	}
	var errs []error
	for _, p := range d.notes.sorted() {
		errs = append(errs, errors.New(strings.TrimPrefix(p.Field+": "+p.Message, ": ")))
	}
	return out, errors.Join(errs...)
}

// defaultRetry is the retries of rules that say nothing.
func (d *destinationRule) defaultRetry(at path, in *networking.HTTPRetry) *ir.Retry {
	if in == nil {
		return nil
	}
	v := &virtualService{}
	out := v.retry(at, in)
	d.notes.out = append(d.notes.out, v.notes.out...)
	if in.PerTryTimeout != nil {
		d.notes.invalid(at.field("perTryTimeout"), "cannot be said for the whole mesh, as requests last differently long; set it in VirtualServices")
	}
	return out
}
