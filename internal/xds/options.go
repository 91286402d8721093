// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"net"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc/credentials"
)

// Peer is who is at the other end of a stream, as far as the transport knows.
type Peer struct {
	// Address is the peer's transport address.
	Address net.Addr
	// Auth is what the transport credentials established, nil for plaintext.
	// For TLS it is a credentials.TLSInfo.
	Auth credentials.AuthInfo
}

// Events is told what publishers want to know of sessions. Calls come from
// the sessions' goroutines and may come concurrently, except that the
// ClassWanted and ClassIdle of one hub are serialized and, per class, alternate. An
// implementation must not block and must not call Publish in the call.
type Events interface {
	// ClassWanted: the first proxy of a class connected.
	ClassWanted(class string, node *core.Node)
	// ClassIdle: the last proxy of a class disconnected.
	ClassIdle(class string)
	// Rejected: a proxy refused a resource.
	Rejected(NACK)
}

// Clock is the time that a hub uses, replaced in tests.
type Clock interface {
	// NewTimer returns a channel that receives once after d, and a function
	// that releases the timer.
	NewTimer(d time.Duration) (fired <-chan time.Time, stop func() bool)
}

// Options say how a hub serves. Zero values take the documented defaults.
type Options struct {
	// Classify gives the class of a proxy, or an error why it is not served.
	// An error without a gRPC status ends the stream with PermissionDenied.
	// Required.
	Classify func(node *core.Node, peer Peer) (class string, err error)
	// Guest is asked once for each stream, after Classify, who wants to be told of it;
	// nil for nobody. An error ends the stream with its gRPC status.
	Guest func(node *core.Node, peer Peer) (Guest, error)
	// Events is told of classes and refusals; nil means nobody is.
	Events Events
	// Clock defaults to the system's.
	Clock Clock
	// Unknown makes the virtual host under which a client that asks is served a
	// host that does not exist: one with the given name, ROUTECONFIG/HOST, that
	// does what rest does, the host with the key Rest. Nil: it is told that
	// there is no such host. The same is asked for clusters, of which rest is the one
	// with the key Rest; nil without an error is then returned for a name of a kind that
	// is not made up.
	Unknown func(rest *Resource, name string) (*Resource, error)
	// NoCluster makes the body of a cluster without endpoints. A client is given it
	// in place of a cluster that it asked for by name and that does not exist, or
	// not any more: Envoy takes in once that there is none, does not ask again, and
	// lets every later request wait until its patience ends. Nil: it is told that
	// there is none.
	NoCluster func(name string) []byte
	// MaxUnknown bounds the hosts that do not exist of which a class is told. A
	// class that asks for more holds all hosts of the route configuration, and
	// Rest, from then on. It bounds the clusters that are made up, too: a class that
	// asks for more sees everything from then on. Default 256.
	MaxUnknown int
	// MaxLessons bounds what a class learns; one that would learn more sees
	// everything from then on. Default 1000.
	MaxLessons int
	// Log receives what goes wrong on streams.
	Log logr.Logger
	// Hold is for how long a response waits for what must come before it
	// (routes for clusters, removals of clusters for routes) when the proxy
	// does not acknowledge. Default 2 s.
	Hold time.Duration
	// MaxResponseBytes bounds one response; a single larger resource goes
	// alone. Default 2 MiB.
	MaxResponseBytes int
	// MaxNames bounds the names that one stream may subscribe to, and per type
	// those that it may claim to hold. Default 65536.
	MaxNames int
	// MaxNodeBytes bounds the marshalled node of a proxy. Default 64 KiB.
	MaxNodeBytes int
}

// DefaultMaxLessons is the default of Options.MaxLessons.
const DefaultMaxLessons = 1000

func (o *Options) complete() {
	if o.Events == nil {
		o.Events = silence{}
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Hold <= 0 {
		o.Hold = 2 * time.Second
	}
	if o.MaxResponseBytes <= 0 {
		o.MaxResponseBytes = 2 << 20
	}
	if o.MaxUnknown <= 0 {
		o.MaxUnknown = 256
	}
	if o.MaxLessons <= 0 {
		o.MaxLessons = DefaultMaxLessons
	}
	if o.MaxNames <= 0 {
		o.MaxNames = 1 << 16
	}
	if o.MaxNodeBytes <= 0 {
		o.MaxNodeBytes = 64 << 10
	}
}

type silence struct{}

func (silence) ClassWanted(string, *core.Node) {}
func (silence) ClassIdle(string)               {}
func (silence) Rejected(NACK)                  {}

type systemClock struct{}

func (systemClock) NewTimer(d time.Duration) (<-chan time.Time, func() bool) {
	t := time.NewTimer(d)
	return t.C, t.Stop
}
