// SPDX-License-Identifier: Apache-2.0

package ir

// IngressMode says which Ingresses of Kubernetes are served.
type IngressMode uint8

// The modes.
const (
	IngressOff    IngressMode = iota // none
	IngressStrict                    // those of a class of ours
	IngressAll                       // those without any class as well
)

// IngressSettings is how Ingresses of Kubernetes are served.
type IngressSettings struct {
	Mode     IngressMode
	Class    string    // that an Ingress may name in its annotation
	Selector Labels    // of the gateway's pods
	Service  ConfigKey // whose addresses Ingresses get
}

// IngressClass is a class that an Ingress can name.
type IngressClass struct {
	Ours bool // it names a mesh as its controller
}

// Ingress is an Ingress of Kubernetes.
type Ingress struct {
	Origin    Origin
	Created   int64
	Class     string // empty: it has none
	Annotated bool   // Class is a word of its annotation; else the name of an IngressClass
	Hosts     []IngressHost
	TLS       []IngressTLS // sorted by secret
	Default   *IngressRule // of requests that no other rule takes
}

// IngressHost is the rules of a host.
type IngressHost struct {
	Host  string // exact, "*.SUFFIX", or "*": all that nobody names
	Rules []IngressRule
}

// IngressRule is a path and what becomes of its requests.
type IngressRule struct {
	Rule     Rule   // with one destination, or the answer to what could not be understood
	PortName string // of the destination, when it names no number
	Exact    bool
	Path     string
}

// IngressTLS is a certificate and the hosts that it is for.
type IngressTLS struct {
	Secret string
	Hosts  []string // sorted; never empty
}
