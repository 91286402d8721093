// SPDX-License-Identifier: Apache-2.0

// Package ownport says which ports of a pod are its proxy's and its agent's own. They are
// those of Istio, because manifests, dashboards and firewalls know them.
package ownport

import (
	"slices"
	"strconv"
	"strings"
)

// The ports.
const (
	Admin     = 15000 // Envoy's administration, at loopback only
	Outbound  = 15001 // where packet rules send what the application calls
	Inbound   = 15006 // where packet rules send what calls the pod
	Status    = 15020 // metrics, probes of the application
	Readiness = 15021
	DNS       = 15053 // the agent's answers to captured questions, at loopback only
)

var (
	all     = []uint16{Admin, Outbound, Inbound, Status, Readiness, DNS}
	outside = []uint16{Status, Readiness}
)

// Is tells whether a port is one of them.
func Is(port uint16) bool { return slices.Contains(all, port) }

// Captures tells whether what is captured is sent to a port. A proxy that hands a
// connection on to such a port gets it again.
func Captures(port uint16) bool { return port == Inbound || port == Outbound }

// Uncaptured is the ports at which the agent answers the kubelet and Prometheus. What
// comes there is never captured, or a proxy that does not answer would hide the agent.
func Uncaptured() []uint16 { return slices.Clone(outside) }

// UncapturedList is Uncaptured as flags and annotations have it.
func UncapturedList() string {
	var out []string
	for _, p := range outside {
		out = append(out, strconv.Itoa(int(p)))
	}
	return strings.Join(out, ",")
}
