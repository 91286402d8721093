// SPDX-License-Identifier: Apache-2.0

package ir

// PathNormalization is what is made of the path of a request before anything
// compares it: what a rule matches is then what the application sees.
type PathNormalization uint8

// The normalizations, each with what the ones before it do, but for PathAsIs.
const (
	PathBase                  PathNormalization = iota // "." and ".." are resolved, as RFC 3986 says
	PathMergeSlashes                                   // slashes that follow one another are one
	PathDecodeAndMergeSlashes                          // %2F and %5C are slashes
	PathAsIs                                           // nothing
)

// ClientCertForwarding is what a gateway does with x-forwarded-client-cert.
type ClientCertForwarding uint8

// The ways. All but CertAlwaysForward remove what clients without a certificate send.
const (
	CertSanitizeSet   ClientCertForwarding = iota // the client's own certificate in place of what it sends
	CertSanitize                                  // removed
	CertForward                                   // kept as it is
	CertAppendForward                             // kept, with the client's own certificate behind it
	CertAlwaysForward                             // kept whoever sends it
)

// EdgeTopology is what stands between gateways and their clients.
type EdgeTopology struct {
	TrustedProxies uint32 // whose x-forwarded-for is believed, counted from the gateway
	ClientCert     ClientCertForwarding
	ProxyProtocol  bool // connections begin with a header of the PROXY protocol
}

// Dialect is how proxies speak HTTP, where users want it otherwise. The zero value is
// the usual one.
type Dialect struct {
	HTTP10       bool   // requests of HTTP/1.0 are taken
	PreserveCase bool   // names of headers are sent on in the letters in which they came, by HTTP/1
	Server       string // the header "server" of every answer; empty: the application's
	NoRequestID  bool   // x-request-id is not made
	NoEnvoyTimes bool   // nor the headers of answers with which Envoy tells of itself
	TellPort     bool   // x-forwarded-port is
	NoAttempts   bool   // x-envoy-attempt-count is not
	TellHost     bool   // x-forwarded-host keeps the host of requests that are sent on with another one

	// ClientCert is what a sidecar in front of an application does with
	// x-forwarded-client-cert, if it is set; else it appends its client's.
	ClientCert    ClientCertForwarding
	ClientCertSet bool
	CertParts     CertParts // what of it is told to the application
}

// CertParts is what x-forwarded-client-cert says of a client's certificate, besides its
// hash. The zero value is the usual: subject, URI and names.
type CertParts struct {
	NoSubject, NoURI, NoDNS bool
	Cert, Chain             bool // as PEM
}
