// SPDX-License-Identifier: Apache-2.0

package ir

import "log/slog"

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

// ServerTLSMode is what a gateway does with TLS.
type ServerTLSMode uint8

// The server modes.
const (
	ServerSimple          ServerTLSMode = iota
	ServerMutual                        // with a certificate of the client
	ServerPassthrough                   // carried as it is, to where routes say by its server name
	ServerAutoPassthrough               // carried as it is, to the cluster that its server name is the name of
)

// Terminates tells whether TLS ends at the gateway.
func (m ServerTLSMode) Terminates() bool { return m != ServerPassthrough && m != ServerAutoPassthrough }

// ServerTLS is a gateway server's TLS settings.
type ServerTLS struct {
	Mode           ServerTLSMode
	CredentialName string // Secret in the namespace of the gateway's pods
	MinVersion     string // "", TLSV1_2, TLSV1_3 ...
	MaxVersion     string
	CipherSuites   []string
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

// Credential is a TLS Secret that passed its checks: certificate and key match.
type Credential struct {
	Key         ConfigKey
	Certificate []byte       // PEM chain
	PrivateKey  PrivateBytes // PEM
	CA          []byte       // PEM; for client certificates
	Invalid     string       // why it cannot be used; the rest is empty then
}
