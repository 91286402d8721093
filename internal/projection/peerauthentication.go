// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"slices"
	"strconv"

	security "istio.io/api/security/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/ownport"
)

var servedPeerAuthentication = serves("selector.matchLabels", "mtls.mode", "portLevelMtls")

var mtlsModes = map[security.PeerAuthentication_MutualTLS_Mode]ir.MTLSMode{
	security.PeerAuthentication_MutualTLS_UNSET:      ir.MTLSUnset,
	security.PeerAuthentication_MutualTLS_DISABLE:    ir.MTLSDisable,
	security.PeerAuthentication_MutualTLS_PERMISSIVE: ir.MTLSPermissive,
	security.PeerAuthentication_MutualTLS_STRICT:     ir.MTLSStrict,
}

// PeerAuthentication projects a security.istio.io PeerAuthentication of any version.
// The row is nil when nothing of the object can be served. See
// https://istio.io/latest/docs/reference/config/security/peer_authentication/.
func (s Scope) PeerAuthentication(meta *metav1.ObjectMeta, text []byte) (*ir.PeerAuthentication, []ir.Problem, error) {
	in := &security.PeerAuthentication{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	p := &peerAuthentication{notes: notes{origin: origin(KindPeerAuthentication, meta)}}
	for _, g := range servedPeerAuthentication.gaps(in.ProtoReflect()) {
		p.notes.ignored(g.at)
	}
	out := &ir.PeerAuthentication{
		Origin:   p.notes.origin,
		Created:  created(meta),
		Selector: ir.NewLabels(in.GetSelector().GetMatchLabels()),
		Mode:     p.mode(spec.field("mtls").field("mode"), in.GetMtls()),
	}
	selects := workloadSelector(&p.notes, spec.field("selector").field("matchLabels"), out.Selector)
	out.Ports = p.ports(spec.field("portLevelMtls"), in.PortLevelMtls)
	if len(out.Ports) > 0 && len(out.Selector) == 0 {
		p.notes.invalid(spec.field("portLevelMtls"), "needs a selector, as ports are those of workloads; add spec.selector.matchLabels")
		out.Ports = nil
	}
	if !selects {
		out = nil // without the selector it would hold for other workloads
	}
	return out, p.notes.sorted(), nil
}

// peerAuthentication is one projection under way.
type peerAuthentication struct{ notes notes }

// mode projects a mode. One that is in error accepts nothing but mutual TLS.
func (p *peerAuthentication) mode(at path, in *security.PeerAuthentication_MutualTLS) ir.MTLSMode {
	mode, ok := mtlsModes[in.GetMode()]
	if !ok {
		p.notes.invalid(at, "%d is no mode; use DISABLE, PERMISSIVE or STRICT", in.GetMode())
		return ir.MTLSStrict
	}
	return mode
}

func (p *peerAuthentication) ports(at path, in map[uint32]*security.PeerAuthentication_MutualTLS) []ir.PortMTLS {
	var out []ir.PortMTLS
	for number, mtls := range in {
		here := at.key(strconv.FormatUint(uint64(number), 10))
		port, ok := portNumber(int64(number))
		if !ok {
			p.notes.invalid(here, "port %d must be from 1 to 65535", number)
			continue
		}
		if ownport.Is(port) {
			p.notes.warn(ReasonUnreachable, here, "has no effect, as the port is the sidecar's own; name the port of the application")
			continue
		}
		out = append(out, ir.PortMTLS{Port: port, Mode: p.mode(here.field("mode"), mtls)})
	}
	slices.SortFunc(out, func(a, b ir.PortMTLS) int { return cmp.Compare(a.Port, b.Port) })
	return out
}
