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

	"github.com/meshwright/meshwright/test/port"
)

// process is the control plane under test.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	target  string
	// profiles is where it serves the runtime's profiles.
	profiles string
	logPath  string
	exited   chan struct{}
	// attributes are what the process needs of the kernel.
	attributes syscall.SysProcAttr
}

// stopLimit is how long the control plane may take to end.
const stopLimit = 30 * time.Second

// build builds a command of this module unless a binary is given.
func build(ctx context.Context, binary, dir string) (string, error) {
	if binary != "" {
		return binary, nil
	}
	binary = filepath.Join(dir, "controlplane")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/controlplane")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the control plane (run from the root of the module): %w", err)
	}
	return binary, nil
}

// startControlPlane runs the control plane against an API server, with
// plaintext discovery on the loopback interface and sidecars of one scope.
func startControlPlane(binary, kubeconfig, dir, scope string) (*process, error) {
	addresses := make([]string, 2)
	for i := range addresses {
		var err error
		if addresses[i], err = freeAddress(); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "mesh-"+scope)
	if err := os.WriteFile(config, []byte("discoveryScope: "+scope+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the mesh's configuration: %w", err)
	}
	p := &process{target: addresses[0], profiles: addresses[1]}
	p.cmd = exec.Command(binary, "--kubeconfig", kubeconfig, "--xds-plaintext-address", p.target, "--profiling-address", p.profiles,
		"--mesh-config", config, "--xds-address=", "--webhook-address=", "--monitoring-address=", "--leader-elect=false")
	return p, p.start(filepath.Join(dir, "log-"+scope))
}

// start runs the process with its output in a file.
func (p *process) start(logPath string) error {
	output, err := os.Create(logPath)
	if err != nil {
		return fmt.Errorf("file for a process's log: %w", err)
	}
	defer output.Close()
	p.logPath, p.exited = logPath, make(chan struct{})
	if p.cmd.Stdout == nil {
		p.cmd.Stdout = output
	}
	p.cmd.Stderr = output
	// A killed benchmark must not leave the process behind.
	p.attributes.Pdeathsig = syscall.SIGKILL
	p.cmd.SysProcAttr = &p.attributes
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.cmd.Path, err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // The exit status is in ProcessState.
	}()
	return nil
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
			return fmt.Errorf("it ended with %v; its last words:\n%s", p.cmd.ProcessState, p.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("it does not listen on %s after %v; its last words:\n%s", p.target, patience, p.lastWords())
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
	ports, err := port.Find(1)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0]), nil
}
