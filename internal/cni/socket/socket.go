// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package socket is how the CNI plugin, which the container runtime starts for
// each pod, asks the agent of its node: one message with the pod's network
// namespace as an open file, and one answer. So the agent needs neither the
// runtime's mounts nor its process ids, and the host no credentials of ours.
package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxMessage bounds messages; names of pods are short.
const maxMessage = 16 << 10

// Question is about one pod.
type Question struct {
	// Check asks whether the rules are there instead of writing them.
	Check bool `json:"check,omitempty"`
	// Namespace, Pod and UID name the pod, as the kubelet tells plugins.
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	UID       string `json:"uid,omitempty"`
}

// answer is empty when all is well.
type answer struct {
	Error string `json:"error,omitempty"`
}

// Ask puts a question about the pod with a network namespace and waits for the
// answer.
func Ask(ctx context.Context, path string, q Question, namespace *os.File) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixpacket", path)
	if err != nil {
		return fmt.Errorf("the mesh's agent of this node does not answer (is the DaemonSet meshwright-cni ready here?): %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	text, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("encode the question: %w", err)
	}
	if _, _, err := conn.(*net.UnixConn).WriteMsgUnix(text, unix.UnixRights(int(namespace.Fd())), nil); err != nil {
		return fmt.Errorf("ask the mesh's agent of this node: %w", err)
	}
	buffer := make([]byte, maxMessage)
	n, err := conn.Read(buffer)
	if err != nil {
		return fmt.Errorf("wait for the mesh's agent of this node: %w", err)
	}
	var a answer
	if err := json.Unmarshal(buffer[:n], &a); err != nil {
		return fmt.Errorf("read the answer of the mesh's agent of this node: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// Handler answers a question. It must not close the file.
type Handler func(ctx context.Context, q Question, namespace *os.File) error

// Serve answers until the context ends. It takes the place of a socket that is
// there; only root may connect.
func Serve(ctx context.Context, path string, patience time.Duration, handle Handler) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }()
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer func() { _ = conn.Close() }()
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			reply(limited, conn, handle)
		}()
	}
}

func reply(ctx context.Context, conn *net.UnixConn, handle Handler) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	var a answer
	q, namespace, err := receive(conn)
	if err == nil {
		defer namespace.Close()
		err = handle(ctx, q, namespace)
	}
	if err != nil {
		a.Error = err.Error()[:min(len(err.Error()), maxMessage/2)]
	}
	if text, err := json.Marshal(a); err == nil {
		_, _ = conn.Write(text) // Who asked sees that nothing came.
	}
}

// receive reads a question and the file that comes with it.
func receive(conn *net.UnixConn) (q Question, namespace *os.File, err error) {
	text, control := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*4))
	n, m, _, _, err := conn.ReadMsgUnix(text, control)
	if err != nil {
		return q, nil, fmt.Errorf("read the question: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:m])
	if err != nil {
		return q, nil, fmt.Errorf("read what comes with the question: %w", err)
	}
	var files []*os.File
	for i := range messages {
		descriptors, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, d := range descriptors {
			unix.CloseOnExec(d)
			files = append(files, os.NewFile(uintptr(d), "network namespace"))
		}
	}
	if err := json.Unmarshal(text[:n], &q); err != nil || len(files) != 1 {
		for _, f := range files {
			f.Close()
		}
		return q, nil, errors.New("a question is one message with one file")
	}
	return q, files[0], nil
}
