// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	udp = "udp"
	tcp = "tcp"

	// tryTimeout is for one server. Clients themselves give up or ask again after about 5 s.
	tryTimeout = 2 * time.Second
	// askTimeout is for all servers together.
	askTimeout = 6 * time.Second
	// rounds is how often the list of servers is gone through: a datagram may be lost.
	rounds = 2
	// benchTime is for how long a server that did not answer is asked after the others.
	benchTime = 10 * time.Second
)

const (
	// headerBytes is the size of a message's header, RFC 1035 section 4.1.1.
	headerBytes = 12
	// typeAndClass is the size of what follows the name in a question, section 4.1.2.
	typeAndClass = 4
)

var errNoServer = errors.New("the pod's resolv.conf names no server")

// Upstream are the servers that the pod would ask if there were no mesh. Messages pass through it byte for byte, but for
// their id, so that nothing in them has to be understood.
type Upstream struct {
	servers []*upstream
	dialer  net.Dialer
	metrics *Metrics
}

type upstream struct {
	address string
	// benched is until when the server comes last, in Unix nanoseconds.
	benched atomic.Int64
}

// NewUpstream makes an upstream of servers in the order of resolv.conf.
func NewUpstream(servers []netip.AddrPort, metrics *Metrics) *Upstream {
	u := &Upstream{metrics: metrics}
	for _, s := range servers {
		u.servers = append(u.servers, &upstream{address: s.String()})
	}
	return u
}

// exchange asks the servers one after the other, by the network (udp or tcp) by which the client came, and returns the
// answer as it came, under the query's id. An answer of more bytes than the client takes becomes a truncated one, after
// which clients ask by TCP.
func (u *Upstream) exchange(ctx context.Context, network string, query []byte, limit int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var last []byte
	err := errNoServer
	for range rounds {
		for _, server := range u.order() {
			if ctx.Err() != nil {
				return last, noAnswer(last, err)
			}
			var answer []byte
			if answer, err = u.try(ctx, server, network, query, limit); err != nil {
				u.metrics.failed(err)
				server.benched.Store(time.Now().Add(benchTime).UnixNano())
				continue
			}
			server.benched.Store(0)
			if last = answer; !shouldGoOn(answer) {
				return answer, nil
			}
		}
		if last != nil {
			break
		}
	}
	return last, noAnswer(last, err)
}

func noAnswer(last []byte, err error) error {
	if last != nil {
		return nil
	}
	return err
}

// order puts servers that did not answer lately last.
func (u *Upstream) order() []*upstream {
	now := time.Now().UnixNano()
	out := make([]*upstream, 0, len(u.servers))
	for _, s := range u.servers {
		if s.benched.Load() <= now {
			out = append(out, s)
		}
	}
	for _, s := range u.servers {
		if s.benched.Load() > now {
			out = append(out, s)
		}
	}
	return out
}

// shouldGoOn tells the codes after which the C libraries ask the next server, which the application's cannot do itself: all
// of its servers are us.
func shouldGoOn(answer []byte) bool {
	switch answer[3] & 0xF {
	case dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused:
		return true
	}
	return false
}

// try asks one server. The id and the source port are random (RFC 5452), so that nobody who does not see the question can
// answer it.
func (u *Upstream) try(ctx context.Context, server *upstream, network string, query []byte, limit int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	started := time.Now()
	conn, err := u.dialer.DialContext(ctx, network, server.address)
	if err != nil {
		return nil, fmt.Errorf("connect to name server: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	asked := bytes.Clone(query)
	binary.BigEndian.PutUint16(asked, uint16(rand.Uint32()))
	var answer []byte
	if network == tcp {
		answer, err = overTCP(conn, asked)
	} else {
		answer, err = overUDP(conn, asked, limit)
	}
	if err != nil {
		return nil, err
	}
	u.metrics.forwarded(time.Since(started))
	copy(answer[:2], query[:2])
	return answer, nil
}

// overUDP waits for the answer to this question; whatever else arrives is not looked at.
func overUDP(conn net.Conn, query []byte, limit int) ([]byte, error) {
	if _, err := conn.Write(query); err != nil {
		return nil, fmt.Errorf("ask name server: %w", err)
	}
	// One byte more than the client takes tells an answer that does not fit.
	buffer := make([]byte, limit+1)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, fmt.Errorf("wait for name server: %w", err)
		}
		answer := buffer[:n]
		if !isAnswerTo(query, answer) {
			continue
		}
		if n > limit {
			return truncated(query, answer), nil
		}
		return answer, nil
	}
}

func overTCP(conn net.Conn, query []byte) ([]byte, error) {
	if err := writeTCP(conn, query); err != nil {
		return nil, fmt.Errorf("ask name server: %w", err)
	}
	answer, err := readTCP(conn)
	if err != nil {
		return nil, fmt.Errorf("wait for name server: %w", err)
	}
	if !isAnswerTo(query, answer) {
		return nil, errMismatch
	}
	return answer, nil
}

var errMismatch = errors.New("the name server answered another question")

// isAnswerTo compares id and question. A server that cannot read a question may leave it out of its refusal.
func isAnswerTo(query, answer []byte) bool {
	const responseBit = 0x80
	if len(answer) < headerBytes || answer[2]&responseBit == 0 || !bytes.Equal(query[:2], answer[:2]) {
		return false
	}
	if binary.BigEndian.Uint16(answer[4:]) == 0 {
		return answer[3]&0xF != dns.RcodeSuccess
	}
	end := questionEnd(query)
	name := max(end-typeAndClass, headerBytes)
	return len(answer) >= end && equalNames(query[headerBytes:name], answer[headerBytes:name]) &&
		bytes.Equal(query[name:end], answer[name:end])
}

// equalNames compares two names as they are on the wire without regard to case, as some servers write them anew. A
// label's length is no letter: it is below 64.
func equalNames(a, b []byte) bool {
	for i := range a {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// questionEnd is where the first question of a query ends, or where the query does.
func questionEnd(query []byte) int {
	for at := headerBytes; at < len(query); {
		length := int(query[at])
		switch {
		case length == 0:
			return min(at+1+typeAndClass, len(query)) // The root ends a name.
		case length >= 0xC0:
			return min(at+2+typeAndClass, len(query)) // So does a pointer.
		}
		at += 1 + length
	}
	return len(query)
}

// truncated keeps of an answer that does not fit the header and the question, and marks it.
func truncated(query, answer []byte) []byte {
	const truncatedBit = 0x2
	out := bytes.Clone(query[:questionEnd(query)])
	out[2] = answer[2] | truncatedBit
	out[3] = answer[3]
	copy(out[4:headerBytes], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	return out
}

// readTCP reads one message with its length before it, RFC 1035 section 4.2.2.
func readTCP(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	return message, nil
}

func writeTCP(w io.Writer, message []byte) error {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	_, err := w.Write(append(out, message...))
	return err
}
