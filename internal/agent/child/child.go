// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package child runs Envoy as a child process that cannot outlive the agent.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Child is one running process.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start runs the program with the agent's standard output and error, so that its log is the container's. The kernel kills
// it when the agent dies without stopping it.
func Start(path string, args []string) (*Child, error) {
	c := &Child{cmd: exec.Command(path, args...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = os.Stdout, os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		// A signal from a terminal goes to the agent alone, which decides when the child ends.
		Setpgid: true,
	}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the death signal when the *thread* that made the child ends, so this one must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := c.cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", path, err)
			return
		}
		started <- nil
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// PID is the process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the process has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Status is how the ended process ended: its exit code, or 128 plus the number of the signal that killed it, as shells
// have it, with a text for people.
func (c *Child) Status() (code int, text string) {
	<-c.done
	if c.err == nil {
		return 0, "exit status 0"
	}
	var exit *exec.ExitError
	if !errors.As(c.err, &exit) {
		return 1, c.err.Error()
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), "killed by signal: " + status.Signal().String()
	}
	return exit.ExitCode(), exit.Error()
}

// Stop asks the process to end and kills it after the grace period. It returns when the process has ended.
func (c *Child) Stop(grace time.Duration) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
		return
	case <-timer.C:
	}
	_ = c.cmd.Process.Kill()
	<-c.done
}
