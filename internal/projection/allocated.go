// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/ir"
)

// AllocatedPart is the part of a ServiceEntry's status that Allocated reads.
func AllocatedPart(status []byte) []byte {
	var in struct {
		Addresses json.RawMessage `json:"addresses"`
	}
	if len(status) == 0 || json.Unmarshal(status, &in) != nil {
		return nil
	}
	return in.Addresses
}

// Allocated reads the addresses that the hosts of a ServiceEntry got out of its
// status; nil when it has none. It was written by a control plane, so that what makes
// no sense is left out and written anew.
func Allocated(status []byte) *ir.Allocated {
	var in []struct {
		Value string `json:"value"`
		Host  string `json:"host"`
	}
	part := AllocatedPart(status)
	if len(part) == 0 || json.Unmarshal(part, &in) != nil {
		return nil
	}
	out := &ir.Allocated{}
	for _, a := range in[:min(len(in), 2*maxEntryHosts)] {
		if addr, err := netip.ParseAddr(a.Value); err == nil {
			out.Addresses = append(out.Addresses, ir.HostAddress{Host: strings.ToLower(a.Host), Addr: addr})
		}
	}
	if len(out.Addresses) == 0 {
		return nil
	}
	slices.SortFunc(out.Addresses, ir.HostAddress.Compare)
	return out
}
