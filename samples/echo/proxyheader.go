// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// signature is what a PROXY header of version 2 begins with.
var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	maxHeaderV1 = 107
	maxHeaderV2 = 16 + 1024
)

var errNoHeader = errors.New("the connection does not begin with a PROXY header")

// proxiedListener accepts connections that begin with a PROXY header.
type proxiedListener struct{ net.Listener }

func (l proxiedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &proxiedConn{Conn: conn, in: bufio.NewReaderSize(conn, maxHeaderV2)}, nil
}

// proxiedConn reads the header when the server first reads, so that a client
// that is slow to send it keeps no other one waiting.
type proxiedConn struct {
	net.Conn
	in   *bufio.Reader
	once sync.Once

	mu   sync.Mutex
	told string
	err  error
}

func (c *proxiedConn) Read(p []byte) (int, error) {
	c.once.Do(func() {
		_ = c.SetReadDeadline(time.Now().Add(headerWait))
		told, err := readHeader(c.in)
		c.mu.Lock()
		c.told, c.err = told, err
		c.mu.Unlock()
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.in.Read(p)
}

type proxiedKey struct{}

func proxiedContext(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*proxiedConn); ok {
		return context.WithValue(ctx, proxiedKey{}, c)
	}
	return ctx
}

// proxiedBy is what the PROXY header of a request's connection said.
func proxiedBy(ctx context.Context) string {
	c, ok := ctx.Value(proxiedKey{}).(*proxiedConn)
	if !ok {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told
}

// readHeader reads a PROXY header and tells its version and the client's address,
// such as "v2 10.0.0.1:4711".
func readHeader(in *bufio.Reader) (string, error) {
	begin, err := in.Peek(len(signature))
	if err != nil {
		return "", errNoHeader
	}
	if bytes.Equal(begin, signature) {
		return readV2(in)
	}
	if !bytes.HasPrefix(begin, []byte("PROXY ")) {
		return "", errNoHeader
	}
	text, err := in.ReadSlice('\n')
	if err != nil || len(text) > maxHeaderV1 {
		return "", errNoHeader
	}
	fields := strings.Fields(string(text))
	if len(fields) < 6 {
		return "v1 unknown", nil
	}
	return "v1 " + net.JoinHostPort(fields[2], fields[4]), nil
}

func readV2(in *bufio.Reader) (string, error) {
	var fixed [16]byte
	if _, err := io.ReadFull(in, fixed[:]); err != nil {
		return "", fmt.Errorf("read the PROXY header: %w", err)
	}
	rest := make([]byte, min(binary.BigEndian.Uint16(fixed[14:]), maxHeaderV2))
	if _, err := io.ReadFull(in, rest); err != nil {
		return "", fmt.Errorf("read the PROXY header: %w", err)
	}
	size := map[byte]int{1: 4, 2: 16}[fixed[13]>>4]
	if size == 0 || len(rest) < 2*size+4 {
		return "v2 unknown", nil
	}
	source, _ := netip.AddrFromSlice(rest[:size])
	return "v2 " + netip.AddrPortFrom(source, binary.BigEndian.Uint16(rest[2*size:])).String(), nil
}
