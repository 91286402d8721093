// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// delegate projects which object's rules stand in place of a rule.
func (v *virtualService) delegate(at path, in *networking.Delegate) *ir.ConfigKey {
	if in == nil {
		return nil
	}
	if v.isDelegate {
		v.notes.invalid(at, "cannot be set in a VirtualService without hosts, which is a delegate itself; only one level of delegation is possible")
	}
	out := &ir.ConfigKey{Namespace: cmp.Or(in.Namespace, v.meta.Namespace), Name: in.Name}
	if err := checkName(out.Name); err != nil {
		v.notes.invalid(at.field("name"), "name %v", err)
	}
	if err := checkLabel(out.Namespace); err != nil {
		v.notes.invalid(at.field("namespace"), "namespace %v", err)
	}
	return out
}

// checkDelegate checks an object without hosts. It takes effect where others delegate
// to it, at their hosts and gateways.
func (v *virtualService) checkDelegate(in *networking.VirtualService) {
	if len(in.Gateways) > 0 {
		v.notes.invalid(spec.field("gateways"),
			"must be empty without hosts: the rules take effect at the hosts and gateways of the VirtualServices that delegate to them; remove gateways or add hosts")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"tls", len(in.Tls) > 0}, {"tcp", len(in.Tcp) > 0}} {
		if f.set {
			v.notes.invalid(spec.field(f.name), "must be empty without hosts: only http can be delegated to; remove it or add hosts")
		}
	}
}
