// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is the control plane under test.
type process struct {
	cmd     *exec.Cmd
	target  string
	logPath string
	exited  chan struct{}
}

// stopLimit is how long the control plane may take to end.
const stopLimit = 30 * time.Second

// startControlPlane builds the control plane unless a binary is given, and
// runs it against an API server with plaintext discovery on the loopback
// interface.
func startControlPlane(ctx context.Context, binary, kubeconfig, dir string) (*process, error) {
	if binary == "" {
		binary = filepath.Join(dir, "controlplane")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/controlplane")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build the control plane (run from the root of the module): %w", err)
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{target: address, logPath: filepath.Join(dir, "controlplane.log"), exited: make(chan struct{})}
	output, err := os.Create(p.logPath)
	if err != nil {
		return nil, fmt.Errorf("file for the control plane's log: %w", err)
	}
	defer output.Close()
	p.cmd = exec.Command(binary, "--kubeconfig", kubeconfig, "--xds-plaintext-address", address,
		"--xds-address=", "--webhook-address=", "--monitoring-address=", "--leader-elect=false")
	p.cmd.Stdout, p.cmd.Stderr = output, output
	// A killed benchmark must not leave the control plane behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // The exit status is in ProcessState.
	}()
	return p, nil
}

// ready waits until discovery listens.
func (p *process) ready(ctx context.Context) error {
	for end := time.Now().Add(patience); ; {
		conn, err := net.DialTimeout("tcp", p.target, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the control plane ended with %v; its last words:\n%s", p.cmd.ProcessState, p.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("the control plane does not listen on %s after %v; its last words:\n%s", p.target, patience, p.lastWords())
		}
	}
}

func (p *process) lastWords() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	const most = 4 << 10
	return string(text[max(0, len(text)-most):])
}

func (p *process) usage() (usage, error) { return usageOf(p.cmd.Process.Pid) }

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
