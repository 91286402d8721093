// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	maxLine = 64 << 10
	idleTCP = 5 * time.Minute
	line    = "hello\n"
)

// greeting is the line that the server which speaks first begins with.
func greeting(host, version string) []byte {
	// Two texts always make JSON.
	text, _ := json.Marshal(map[string]string{"host": host, "version": version})
	return append(text, '\n')
}

// serveTCP sends every line back to who sent it.
func serveTCP(l net.Listener) error { return serveGreeting(l, nil) }

// serveGreeting says the greeting to every client, and what serveTCP does then.
func serveGreeting(l net.Listener, greeting []byte) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go echoLines(conn, greeting)
	}
}

func echoLines(conn net.Conn, greeting []byte) {
	defer conn.Close()
	if _, err := conn.Write(greeting); err != nil {
		return
	}
	lines := bufio.NewReaderSize(conn, maxLine)
	for {
		if conn.SetDeadline(time.Now().Add(idleTCP)) != nil {
			return
		}
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		if _, err := conn.Write(line); err != nil {
			return
		}
	}
}

// sendTCP sends one line and expects it back; the code is 200 then. From a server
// that greets, the greeting is waited for first, and is the body. The connection
// is held for the given time.
func sendTCP(ctx context.Context, address string, greeted bool, hold time.Duration) (int, []byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, nil, err
		}
	}
	lines := bufio.NewReader(conn)
	var said string
	if greeted {
		if said, err = lines.ReadString('\n'); err != nil {
			return 0, nil, fmt.Errorf("wait for the greeting: %w", err)
		}
	}
	if _, err := io.WriteString(conn, line); err != nil {
		return 0, nil, err
	}
	got, err := lines.ReadString('\n')
	if err != nil {
		return 0, nil, err
	}
	if got != line {
		return 0, nil, fmt.Errorf("sent %q, got %q back", line, got)
	}
	if hold > 0 {
		time.Sleep(hold)
	}
	return http.StatusOK, []byte(cmp.Or(said, got)), nil
}
