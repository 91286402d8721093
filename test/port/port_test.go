// SPDX-License-Identifier: Apache-2.0

package port

import (
	"net"
	"testing"
)

func TestFind(t *testing.T) {
	ports, err := Find(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint16]bool{}
	for _, p := range ports {
		if seen[p] || int(p) >= floor() || p < lowest {
			t.Errorf("port %d came twice, or is one of those of connections", p)
		}
		seen[p] = true
		release, err := hold(p)
		if err != nil {
			t.Errorf("port %d is not free: %v", p, err)
			continue
		}
		release()
	}
}

func TestHoldRefusesAPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := hold(uint16(l.Addr().(*net.TCPAddr).Port)); err == nil {
		t.Error("a port that is listened on counts as free")
	}
}
