// SPDX-License-Identifier: Apache-2.0

package ownport

import "testing"

// TestPorts: each port is known as what it is; what could lead back to the proxy is
// captured, and what the kubelet calls is not.
func TestPorts(t *testing.T) {
	for _, p := range []struct {
		port           uint16
		own, capturing bool
	}{{Admin, true, false}, {Outbound, true, true}, {Inbound, true, true}, {Status, true, false}, {Readiness, true, false}, {DNS, true, false}, {15090, false, false}} {
		if Is(p.port) != p.own || Captures(p.port) != p.capturing {
			t.Errorf("%d: own %t, capturing %t", p.port, Is(p.port), Captures(p.port))
		}
	}
	if got := UncapturedList(); got != "15020,15021" {
		t.Errorf("never captured: %s", got)
	}
}
