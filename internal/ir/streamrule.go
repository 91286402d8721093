// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"net/netip"
)

// StreamRule says where connections go that are carried as bytes: the first rule of
// which one match fits decides. It is what an entry of a VirtualService's tls or tcp
// projects into, and what a TLSRoute or a TCPRoute can project into.
type StreamRule struct {
	Origin       Origin
	Matches      []StreamMatch // any of them; none: every connection
	Destinations []Destination // none: the rule could not be understood, and its connections are closed
}

// StreamMatch is a conjunction.
type StreamMatch struct {
	ServerNames []string       // that TLS asks for, any of them: exact, "*.SUFFIX" or "*"; sorted; none: whatever comes
	Subnets     []netip.Prefix // of the address that is called, any of them; sorted; none: whatever is called
	Place
}

// StreamChain is where the connections of some kind go. Of the chains of a listener
// the one with the narrowest subnet counts, then the one with the narrowest name.
type StreamChain struct {
	ServerNames []string       // as in StreamMatch
	Subnets     []netip.Prefix // as in StreamMatch
	TLS         *ChainTLS      // ends here; nil: what comes is carried as it is
	Targets     []Target       // none: connections are closed
	ByName      bool           // AUTO_PASSTHROUGH: the server name is that of a cluster, in place of Targets
	Detected    bool           // at a gateway: some target takes bytes for requests unless it is told
	Stream      Stream
	Origins     []Origin // none: what is done when no object says otherwise
}

// TakesAll tells whether a chain takes whatever no other chain does.
func (c *StreamChain) TakesAll() bool { return len(c.ServerNames) == 0 && len(c.Subnets) == 0 }

// ComparePrefix orders by address, then by length.
func ComparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
