// SPDX-License-Identifier: Apache-2.0

package typed

// The names of the HTTP filters that do nothing on their own: rules tell them what
// to do, in the typed_per_filter_config of their routes under these names.
const (
	FilterCORS  = "envoy.filters.http.cors"
	FilterFault = "envoy.filters.http.fault"
	FilterName  = "envoy.filters.http.header_to_metadata" // reads the name that a request is for
	FilterState = "envoy.filters.http.set_filter_state"

	FilterSession = "envoy.filters.http.stateful_session"
)

// FilterTokens is the HTTP filter that verifies tokens. TokenPayload is the part of its
// metadata, which goes by the same name, that has the claims of a valid token.
const (
	FilterTokens = "envoy.filters.http.jwt_authn"
	TokenPayload = "payload"
)

// StatePeerTLS is the state of a connection that says how the pod that it was made
// to takes connections, if it is known to be one; PeerTLSMesh is mutual TLS.
const (
	StatePeerTLS = "meshwright.peer_tls"
	PeerTLSMesh  = "istio"
)

// StateCarries is the state of a connection that says what it carries, where its port
// does not: a server that does not know it either is told so inside the mesh's TLS.
const (
	StateCarries    = "meshwright.carries"
	CarriesRequests = "requests"
	CarriesBytes    = "bytes"
)
