// SPDX-License-Identifier: Apache-2.0

package ir

import "net/netip"

// Name is what a pod is answered when it asks for the addresses of a host.
type Name struct {
	Host      string // may begin with "*."
	Addresses []netip.Addr
}
