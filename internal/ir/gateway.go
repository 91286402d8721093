// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"log/slog"
	"net/netip"
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
	Port          uint16     // as users see it, at the gateway's Service
	Bind          netip.Addr // of the pod, that it listens on; not valid: all
	Protocol      Protocol
	Hosts         []ServerHost // sorted
	HTTPSRedirect bool
	TLS           *ServerTLS // nil: plaintext
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
