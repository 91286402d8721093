// SPDX-License-Identifier: Apache-2.0

// Package nameserver answers the DNS queries of a pod's application: those for names of the mesh from a table that the
// control plane keeps current, all others by passing them on to the servers of the pod's resolv.conf. What it does not
// know it never answers for; with an empty table it is a forwarder.
package nameserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/miekg/dns"
)

const (
	// maxForwarded bounds the queries that wait for name servers at one time. Each may hold two sockets and its buffer.
	maxForwarded = 1024
	// maxConnections bounds TCP connections; resolvers open one per question.
	maxConnections = 256
	// idleTimeout ends TCP connections on which nothing is asked (RFC 7766 section 6.2.3).
	idleTimeout = 10 * time.Second
	// writeTimeout ends TCP connections whose client does not read.
	writeTimeout = 5 * time.Second
	// errorPause keeps a socket that fails again and again from using up a CPU.
	errorPause = 50 * time.Millisecond
)

const (
	msgSocket   = "cannot read DNS queries, trying again"
	msgUpstream = "no name server answered"
	msgPanic    = "a DNS query made the handler panic"
)

// Options of a Server.
type Options struct {
	// Addresses to listen at, by UDP and TCP.
	Addresses []netip.AddrPort
	Table     *Table
	// Search are the pod's search domains.
	Search   []string
	Upstream *Upstream
	Metrics  *Metrics
	Log      logr.Logger
}

// Server answers queries between Listen and the end of Serve's context.
type Server struct {
	table     *Table
	search    []string
	upstream  *Upstream
	metrics   *Metrics
	log       logr.Logger
	packets   []*net.UDPConn
	listeners []net.Listener
	// forwarding and connections hold a token for each that there may be.
	forwarding, connections chan struct{}
}

// Listen opens the sockets.
func Listen(options Options) (*Server, error) {
	s := &Server{
		table: options.Table, search: options.Search, upstream: options.Upstream, metrics: options.Metrics, log: options.Log,
		forwarding: make(chan struct{}, maxForwarded), connections: make(chan struct{}, maxConnections),
	}
	for _, address := range options.Addresses {
		if err := s.open(address); err != nil {
			s.close()
			return nil, fmt.Errorf("listen for DNS queries at %s: %w", address, err)
		}
	}
	return s, nil
}

func (s *Server) open(address netip.AddrPort) error {
	packets, err := net.ListenUDP(udp, net.UDPAddrFromAddrPort(address))
	if err != nil {
		return err
	}
	s.packets = append(s.packets, packets)
	// The same port for both, should the kernel have chosen it.
	listener, err := net.Listen(tcp, packets.LocalAddr().String())
	if err != nil {
		return err
	}
	s.listeners = append(s.listeners, listener)
	return nil
}

func (s *Server) close() {
	for _, c := range s.packets {
		_ = c.Close()
	}
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// Serve answers until the context ends. An error on a socket does not end it: the application has no other resolver.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	var running sync.WaitGroup
	for _, c := range s.packets {
		running.Go(func() { s.serveUDP(ctx, c) })
	}
	for _, l := range s.listeners {
		running.Go(func() { s.serveTCP(ctx, l) })
	}
	running.Wait()
	return nil
}

func (s *Server) serveUDP(ctx context.Context, packets *net.UDPConn) {
	buffer := make([]byte, dns.MaxMsgSize)
	for {
		n, client, err := packets.ReadFromUDPAddrPort(buffer)
		if err != nil {
			if !s.pause(ctx, err) {
				return
			}
			continue
		}
		s.handle(ctx, udp, buffer[:n], func(answer []byte) {
			if answer != nil {
				_, _ = packets.WriteToUDPAddrPort(answer, client) // A client that has gone needs no answer.
			}
		})
	}
}

// pause waits a little after an error. It returns false when the server has ended.
func (s *Server) pause(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	s.log.Error(err, msgSocket)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(errorPause):
		return true
	}
}

func (s *Server) serveTCP(ctx context.Context, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			if !s.pause(ctx, err) {
				return
			}
			continue
		}
		select {
		case s.connections <- struct{}{}:
			go func() {
				defer func() { <-s.connections }()
				s.serveConnection(ctx, conn)
			}()
		default:
			s.metrics.asked(tcp, outcomeOverload)
			_ = conn.Close()
		}
	}
}

// serveConnection answers one query after the other.
func (s *Server) serveConnection(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	for {
		if conn.SetReadDeadline(time.Now().Add(idleTimeout)) != nil {
			return
		}
		query, err := readTCP(conn)
		if err != nil {
			return
		}
		answered := make(chan []byte, 1)
		s.handle(ctx, tcp, query, func(answer []byte) { answered <- answer })
		select {
		case answer := <-answered:
			if answer == nil || conn.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil || writeTCP(conn, answer) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// handle answers one query: at once when the mesh knows, else when a name server answered. reply is called with nil for
// what deserves no answer. The message may change after handle has returned.
func (s *Server) handle(ctx context.Context, network string, message []byte, reply func([]byte)) {
	defer s.recovered(reply)
	query, answer, result := s.review(message, network)
	if result != outcomeForwarded {
		s.metrics.asked(network, result)
		reply(answer)
		return
	}
	select {
	case s.forwarding <- struct{}{}:
	default:
		s.metrics.asked(network, outcomeOverload)
		reply(pack(refusal(query, dns.RcodeServerFailure), dns.MinMsgSize))
		return
	}
	forwarded := bytes.Clone(message)
	go func() {
		defer s.recovered(reply)
		defer func() { <-s.forwarding }()
		answer, err := s.upstream.exchange(ctx, network, forwarded, limit(query, network))
		if err != nil {
			s.metrics.asked(network, outcomeFailed)
			s.log.V(1).Info(msgUpstream, "error", err.Error())
			reply(pack(refusal(query, dns.RcodeServerFailure), dns.MinMsgSize))
			return
		}
		s.metrics.asked(network, outcomeForwarded)
		reply(answer)
	}()
}

// review decides what becomes of a message, and answers it if that needs nobody else.
func (s *Server) review(message []byte, network string) (query *dns.Msg, answer []byte, result outcome) {
	query = new(dns.Msg)
	if err := query.Unpack(message); err != nil {
		if len(message) < headerBytes || query.Response {
			return nil, nil, outcomeDropped
		}
		bare := &dns.Msg{MsgHdr: query.MsgHdr}
		return nil, pack(refusal(bare, dns.RcodeFormatError), dns.MinMsgSize), outcomeRefused
	}
	switch {
	case query.Response:
		return nil, nil, outcomeDropped
	case len(query.Question) != 1: // RFC 9619
		return nil, pack(refusal(query, dns.RcodeFormatError), dns.MinMsgSize), outcomeRefused
	case query.Question[0].Qtype == dns.TypeAXFR || query.Question[0].Qtype == dns.TypeIXFR:
		// Transfers of zones are many messages.
		return nil, pack(refusal(query, dns.RcodeRefused), dns.MinMsgSize), outcomeRefused
	}
	if m := s.answer(query); m != nil {
		return query, pack(m, limit(query, network)), outcomeMesh
	}
	return query, nil, outcomeForwarded
}

// pack encodes an answer of at most limit bytes, truncated if it does not fit; nil when it cannot be encoded.
func pack(m *dns.Msg, limit int) []byte {
	m.Truncate(limit)
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// recovered keeps one query from ending the process, and with it the pod's proxy.
func (s *Server) recovered(reply func([]byte)) {
	if r := recover(); r != nil {
		defer reply(nil)
		s.log.Error(fmt.Errorf("panic: %v", r), msgPanic, "stack", string(debug.Stack()))
	}
}
