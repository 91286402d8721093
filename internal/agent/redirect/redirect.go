// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/meshwright/meshwright/internal/agent/capture"
)

// Apply writes the rules into the network namespace of this thread, where
// servers are the pod's name servers; with dry it only says which. It needs
// CAP_NET_ADMIN and CAP_NET_RAW.
func (f *Flags) Apply(ctx context.Context, servers []netip.Addr, dry bool) ([]capture.Result, error) {
	if err := f.parse(); err != nil {
		return nil, err
	}
	if f.CapturesDNS() {
		f.config.DNSServers = servers
	}
	options := capture.Options{DryRun: dry}
	switch f.ipv6 {
	case "auto":
		_, has, err := capture.IPv6Address()
		if err != nil {
			return nil, err
		}
		options.IPv6 = has
	case "on":
		options.IPv6 = true
	case "off":
	default:
		return nil, fmt.Errorf("--ipv6 %q is none of auto, on, off", f.ipv6)
	}
	return capture.Apply(ctx, f.config, options)
}
