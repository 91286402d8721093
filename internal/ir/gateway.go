// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
)

// Gateway is a set of servers on the proxies that a selector picks.
type Gateway struct {
	Origin   Origin
	Created  int64
	Selector Labels // over the labels of gateway pods in any namespace; empty selects all
	Servers  []Server
}

// Server is one port and its hosts.
type Server struct {
	Origin        Origin // section is the port's name
	PortName      string
	Port          uint16 // as users see it, at the gateway's Service
	Bind          Bind
	Protocol      Protocol
	Hosts         []ServerHost // sorted
	HTTPSRedirect bool
	TLS           *ServerTLS // nil: plaintext
}

// Bind is where a gateway listens: at one address of its pod, or at a Unix socket in it.
// The zero value is all addresses.
type Bind struct {
	Addr   netip.Addr
	Socket string // a path, or a name after an @; without a port
}

// Compare orders addresses before sockets.
func (b Bind) Compare(o Bind) int {
	return cmp.Or(strings.Compare(b.Socket, o.Socket), b.Addr.Compare(o.Addr))
}

// String is the address or the socket.
func (b Bind) String() string {
	switch {
	case b.Socket != "":
		return "unix:" + b.Socket
	case b.Addr.IsValid():
		return b.Addr.String()
	}
	return "0.0.0.0"
}

// At is where it listens, for users.
func (s *Server) At() string {
	if s.Bind.Socket != "" {
		return "at the socket " + s.Bind.Socket
	}
	return "on port " + strconv.Itoa(int(s.Port))
}

// IsHTTP tells whether the server reads requests. Any other one carries bytes.
func (s *Server) IsHTTP() bool {
	if s.TLS == nil {
		return s.Protocol.IsHTTP()
	}
	return s.Protocol == ProtocolHTTPS && s.TLS.Mode.Terminates()
}

// ServerHost is a host pattern and the namespace whose routes may use it.
type ServerHost struct {
	Namespace string // "*": any
	Host      string // exact, "*.SUFFIX" or "*"
}

// PrivateBytes is secret material; it never prints itself.
type PrivateBytes []byte

// String hides the content.
func (PrivateBytes) String() string { return "[redacted]" }

// GoString hides the content.
func (PrivateBytes) GoString() string { return "[redacted]" }

// MarshalJSON hides the content.
func (PrivateBytes) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// LogValue hides the content from structured logs.
func (PrivateBytes) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Credential is a TLS Secret that passed its checks: certificate and key match. What
// did not pass is empty, and the reason is there instead.
type Credential struct {
	Key         ConfigKey
	Certificate []byte       // PEM chain
	PrivateKey  PrivateBytes // PEM
	CA          []byte       // PEM; for client certificates
	CRL         []byte       // PEM; of the CA
	Expired     string       // since when the certificate is not valid any more
	Invalid     string       // why certificate and key cannot be used
	InvalidCA   string       // why CA and CRL cannot be used
}
