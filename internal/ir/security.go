// SPDX-License-Identifier: Apache-2.0

package ir

import "strings"

// MTLSMode is what a server accepts.
type MTLSMode uint8

// The modes. MTLSUnset takes the wider scope's.
const (
	MTLSUnset MTLSMode = iota
	MTLSDisable
	MTLSPermissive
	MTLSStrict
)

// PeerAuthentication says which connections a workload accepts.
type PeerAuthentication struct {
	Origin   Origin
	Created  int64
	Selector Labels // empty: the whole namespace (in the root namespace: the mesh)
	Mode     MTLSMode
	Ports    []PortMTLS // sorted by port; with a selector only
}

// PortMTLS is the mode of one port of the workload.
type PortMTLS struct {
	Port uint16
	Mode MTLSMode
}

// SPIFFE is the identity of a service account.
// See https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md.
func SPIFFE(trustDomain, namespace, serviceAccount string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + serviceAccount
}

// ParseSPIFFE reads what SPIFFE wrote.
func ParseSPIFFE(id string) (trustDomain, namespace, serviceAccount string, ok bool) {
	rest, found := strings.CutPrefix(id, "spiffe://")
	if !found {
		return "", "", "", false
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" || parts[0] == "" || parts[2] == "" || parts[4] == "" {
		return "", "", "", false
	}
	return parts[0], parts[2], parts[4], true
}
