// SPDX-License-Identifier: Apache-2.0

// Package port finds ports for servers that tests and clusters start.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
)

const (
	lowest = 10_000
	// usualFloor is where Linux begins to take the ports of connections from
	// unless told otherwise.
	usualFloor = 32_768
	tries      = 1_000
)

// given are the ports that this process was given: their servers may not listen yet.
var given sync.Map

// Find returns n different ports of 127.0.0.1 that nobody listens on, for TCP
// and for UDP. They lie below those that the kernel gives to connections: one
// of these could be taken in the moment before the server listens.
func Find(n int) ([]uint16, error) {
	var out []uint16
	for range tries {
		if len(out) == n {
			return out, nil
		}
		p := uint16(lowest + rand.IntN(floor()-lowest))
		if _, taken := given.LoadOrStore(p, true); taken {
			continue
		}
		release, err := hold(p)
		if err != nil {
			continue // Somebody listens there.
		}
		release()
		out = append(out, p)
	}
	return nil, fmt.Errorf("no %d free ports of 127.0.0.1 between %d and %d", n, lowest, floor())
}

// Test is what is needed of a testing.TB; programs that start servers use this package, too.
type Test interface {
	Helper()
	Fatal(...any)
}

// Free is one such port; the test fails when there is none.
func Free(t Test) uint16 {
	t.Helper()
	ports, err := Find(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

// Address is 127.0.0.1 with such a port, as HOST:PORT.
func Address(t Test) string {
	t.Helper()
	return at(Free(t)).String()
}

func at(p uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p)
}

func hold(p uint16) (release func(), err error) {
	address := at(p).String()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		l.Close()
		return nil, err
	}
	return func() {
		l.Close()
		_ = packets.Close()
	}, nil
}

// floor is the first port that the kernel gives to connections.
func floor() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usualFloor
	}
	var first int
	if _, err := fmt.Sscan(string(text), &first); err != nil || first < lowest+tries {
		return usualFloor
	}
	return first
}
