// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// conn is the transport of a session.
type conn interface {
	// send hands a response to the transport; it may block on a slow reader.
	send(*response) error
}

// session is one stream. The goroutine whose turn it is decides and sends; the
// hub only leaves marks and wakes it. Locks are taken in the order turn, hub,
// session.
type session struct {
	// turn is held while a message of the client is taken in and while
	// responses are sent, so a slow reader is not read from either. left is set
	// when the stream has ended.
	turn sync.Mutex
	left bool

	hub   *Hub
	conn  conn
	peer  Peer
	seat  int
	node  string
	class *class
	guest Guest // nil: nobody wants to know
	wake  chan struct{}
	// touched is guarded by the hub's lock.
	touched bool

	mu    sync.Mutex
	lanes []*lane
	// routes says which route configurations the client can take hosts for.
	routes map[string]routeState
	// recalled are route configurations of which the client may lack hosts that it
	// claims.
	recalled []string
	// awaited are the endpoints that clusters on their way still need.
	awaited awaits
	// claimed is true when the client said to hold anything: it was connected
	// before.
	claimed bool
	// items is where responses are collected.
	items []item
	// sent counts responses.
	sent uint64
	// forced is the last batch for which nothing is held back any more.
	forced uint64

	// holding is true while the timer runs; what was published up to
	// holdBatch goes out when it fires.
	holding   bool
	holdBatch uint64
	fired     <-chan time.Time
	stop      func() bool
}

// routeState says how a session knows of a route configuration.
type routeState uint8

const (
	// routeUnknown: hosts would be dropped by the client.
	routeUnknown routeState = iota
	// routeClaimed: the client held it when it connected, with its hosts.
	routeClaimed
	// routeAcked: the client got it on this stream, and its hosts after it.
	routeAcked
	// routeDropped: the client unsubscribed from it on this stream.
	routeDropped
	// routeSettling: the client has it, but may count hosts as held that it
	// dropped; see hosts.go.
	routeSettling
)

// maxLanes bounds the resource types of one stream.
const maxLanes = 16

// maxMessage bounds what is kept of a proxy's error message, in bytes.
const maxMessage = 4 << 10

func (s *session) lane(typ string) *lane {
	for _, l := range s.lanes {
		if l.table.typ == typ {
			return l
		}
	}
	return nil
}

func (s *session) addLane(t *table) *lane {
	l := &lane{table: t, pages: &s.hub.pages}
	s.lanes = append(s.lanes, l)
	slices.SortStableFunc(s.lanes, func(a, b *lane) int { return cmp.Compare(a.table.rank, b.table.rank) })
	return l
}

// poke wakes the session's goroutine; it never blocks.
func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// identify reads the node of a stream's first request.
func (s *session) identify(req *request) error {
	if size := len(req.node); size > s.hub.opts.MaxNodeBytes {
		return status.Errorf(codes.InvalidArgument, "a node of %d bytes is more than the allowed %d", size, s.hub.opts.MaxNodeBytes)
	}
	node, err := req.client()
	if err != nil {
		return err
	}
	if node.GetId() == "" {
		return status.Error(codes.InvalidArgument, "the first request of a stream must carry a node with an id")
	}
	key, err := s.hub.opts.Classify(node, s.peer)
	if err != nil {
		if _, ok := status.FromError(err); ok {
			return err
		}
		return status.Errorf(codes.PermissionDenied, "node %.128q is not served: %v", node.GetId(), err)
	}
	if err := s.receiveGuest(node); err != nil {
		return err
	}
	s.node = node.GetId()
	s.hub.join(s, key, node)
	return nil
}

// run serves the stream until it ends. The client's messages come in by step.
func (s *session) run(done <-chan struct{}, ended <-chan error) error {
	defer s.close()
	for {
		fired := s.timer()
		select {
		case <-done:
			return nil
		case err := <-ended:
			return err
		case <-s.wake:
		case <-fired:
			s.release(fired)
		}
		if err := s.step(nil); err != nil {
			return err
		}
	}
}

// step takes in a message of the client, unless it is nil, and sends what may
// go now. It is the turn of one goroutine at a time: of the stream's own, or of
// the one that reads, which so answers without waking the other.
func (s *session) step(f *frame) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.left {
		return nil
	}
	if f != nil {
		if err := s.read(f); err != nil {
			return err
		}
	}
	return s.pump()
}

// read takes in a message, and lets go of it: it may be large, and a slow reader
// may take long for the answer.
func (s *session) read(f *frame) error {
	defer f.done()
	if err := f.open(); err != nil {
		return err
	}
	return s.take(&f.request)
}

func (s *session) close() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.left = true
	if s.stop != nil {
		s.stop()
	}
	if s.class != nil {
		s.hub.leave(s)
	}
	if s.guest != nil {
		s.guest.Left()
	}
}

// take takes in one message of the client.
func (s *session) take(req *request) error {
	if s.class == nil {
		if err := s.identify(req); err != nil {
			return err
		}
	}
	if req.typ == "" {
		return status.Error(codes.InvalidArgument, "a request on an aggregated stream must name a type")
	}
	if req.typ == HealthType {
		return s.hear(req)
	}
	if len(req.nonce) > 0 {
		var message string
		if req.refused {
			var err error
			if message, err = req.message(); err != nil {
				return err
			}
		}
		s.answer(req.typ, req.nonce, message, req.refused)
	}
	return s.hub.subscribe(s, req)
}
