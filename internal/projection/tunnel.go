// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"net"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// tunnel projects where bytes go to inside a request; there is no tunnel where it
// is in error. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#TrafficPolicy-TunnelSettings.
func (d *destinationRule) tunnel(at path, in *networking.TrafficPolicy_TunnelSettings) *ir.Tunnel {
	if in == nil {
		return nil
	}
	before := d.notes.errors()
	if in.Protocol != "" && in.Protocol != "CONNECT" && in.Protocol != "POST" {
		d.notes.invalid(at.field("protocol"), "%q must be CONNECT or POST", in.Protocol)
	}
	if strings.Contains(in.TargetHost, "*") {
		d.notes.invalid(at.field("targetHost"), "%q must be a full name or an IP address", in.TargetHost)
	} else if err := checkHost(in.TargetHost); err != nil {
		d.notes.invalid(at.field("targetHost"), "%v", err)
	}
	if _, ok := portNumber(int64(in.TargetPort)); !ok {
		d.notes.invalid(at.field("targetPort"), "port %d must be from 1 to 65535", in.TargetPort)
	}
	if d.notes.errors() > before {
		return nil
	}
	return &ir.Tunnel{
		Target: net.JoinHostPort(in.TargetHost, strconv.Itoa(int(in.TargetPort))),
		Post:   in.Protocol == "POST",
	}
}
