// SPDX-License-Identifier: Apache-2.0

//go:build linux

package socket_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/cni/socket"
)

// serve answers at a path until the test ends.
func serve(t *testing.T, handle socket.Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	// What a process that was killed leaves.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- socket.Serve(ctx, path, time.Minute, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for {
		if conn, err := net.Dial("unixpacket", path); err == nil {
			conn.Close()
			return path
		}
		time.Sleep(time.Millisecond)
	}
}

func file(t *testing.T, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestAsk(t *testing.T) {
	path := serve(t, func(_ context.Context, q socket.Question, namespace *os.File) error {
		content, err := io.ReadAll(namespace)
		if err != nil {
			return err
		}
		return errors.New(q.Namespace + "/" + q.Pod + " in " + string(content))
	})
	err := socket.Ask(t.Context(), path, socket.Question{Namespace: "shop", Pod: "cart-0"}, file(t, "its namespace"))
	if err == nil || err.Error() != "shop/cart-0 in its namespace" {
		t.Errorf("got %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is open to others: %v, %v", info.Mode(), err)
	}
}

func TestAskSucceeds(t *testing.T) {
	path := serve(t, func(context.Context, socket.Question, *os.File) error { return nil })
	if err := socket.Ask(t.Context(), path, socket.Question{}, file(t, "")); err != nil {
		t.Error(err)
	}
}

// TestLongError: an error is cut, not lost.
func TestLongError(t *testing.T) {
	path := serve(t, func(context.Context, socket.Question, *os.File) error { return errors.New(strings.Repeat("x", 1<<20)) })
	if err := socket.Ask(t.Context(), path, socket.Question{}, file(t, "")); err == nil || !strings.HasPrefix(err.Error(), "xxx") {
		t.Errorf("got %.80v", err)
	}
}

// TestNobodyListens names what to look at.
func TestNobodyListens(t *testing.T) {
	err := socket.Ask(t.Context(), filepath.Join(t.TempDir(), "s"), socket.Question{}, file(t, ""))
	if err == nil || !strings.Contains(err.Error(), "meshwright-cni") {
		t.Errorf("got %v", err)
	}
}

// TestWithoutFile: a question without a namespace is refused.
func TestWithoutFile(t *testing.T) {
	path := serve(t, func(context.Context, socket.Question, *os.File) error {
		t.Error("the question was handled")
		return nil
	})
	conn, err := net.Dial("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(`{"namespace":"a"}`)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 1024)
	n, err := conn.Read(text)
	if err != nil || !strings.Contains(string(text[:n]), "one file") {
		t.Errorf("got %s, %v", text[:n], err)
	}
}
