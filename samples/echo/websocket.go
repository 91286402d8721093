// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it; nothing is kept secret by it.
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const (
	acceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // of RFC 6455
	textFrame    = 0x81                                   // the only frame of a text
	maskBit      = 0x80
	longLength   = 126
	maxFrame     = 0xffff
)

var errFrame = errors.New("not a text of one frame below 64 KiB")

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.Header.Get("Sec-WebSocket-Key") != ""
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + acceptSuffix)) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// serveWebSocket answers every text with what an HTTP request would be answered.
func (h *handler) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		acceptKey(r.Header.Get("Sec-WebSocket-Key")))
	for err == nil {
		var text []byte
		if text, err = readFrame(both.Reader); err != nil {
			return
		}
		told := h.tell(r)
		told.Body = len(text)
		var body []byte
		if body, err = json.Marshal(told); err == nil {
			err = writeFrame(conn, body, false)
		}
	}
}

// sendWebSocket asks for an upgrade, sends one text and returns the answer to it.
func sendWebSocket(ctx context.Context, u *url.URL, headers http.Header) (response, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return response{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return response{}, err
		}
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: headers.Clone()}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", key)
	if err := req.Write(conn); err != nil {
		return response{}, err
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return response{code: resp.StatusCode, header: resp.Header}, nil
	}
	if resp.Header.Get("Sec-WebSocket-Accept") != acceptKey(key) {
		return response{}, errors.New("the answer to the upgrade does not accept its key")
	}
	if err := writeFrame(conn, []byte(line), true); err != nil {
		return response{}, err
	}
	body, err := readFrame(in)
	return response{code: http.StatusOK, header: resp.Header, body: body}, err
}

// readFrame reads one text. Frames of other kinds, such as a close, are its end.
func readFrame(in *bufio.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	length := int(head[1] &^ maskBit)
	if head[0] != textFrame || length > longLength {
		return nil, errFrame
	}
	if length == longLength {
		var long [2]byte
		if _, err := io.ReadFull(in, long[:]); err != nil {
			return nil, err
		}
		length = int(long[0])<<8 | int(long[1])
	}
	var mask [4]byte
	if head[1]&maskBit != 0 {
		if _, err := io.ReadFull(in, mask[:]); err != nil {
			return nil, err
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, err
	}
	masked(body, mask)
	return body, nil
}

// writeFrame writes one text; what clients send is masked.
func writeFrame(out io.Writer, text []byte, client bool) error {
	if len(text) > maxFrame {
		return errFrame
	}
	frame := []byte{textFrame, longLength, byte(len(text) >> 8), byte(len(text))}
	if client {
		frame[1] |= maskBit
		var mask [4]byte
		_, _ = rand.Read(mask[:])
		frame = append(frame, mask[:]...)
		text = append([]byte(nil), text...)
		masked(text, mask)
	}
	_, err := out.Write(append(frame, text...))
	return err
}

func masked(text []byte, mask [4]byte) {
	for i := range text {
		text[i] ^= mask[i%4]
	}
}
