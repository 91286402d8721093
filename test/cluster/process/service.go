// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Service is one long-running program of a cluster.
type Service struct {
	// Name names the program in messages and in file names.
	Name string
	// Args are the program's path and arguments.
	Args []string
	// Prefix is a command line put before Args, for namespaces and cgroups.
	// It must end in an exec, so that the process id stays the same.
	Prefix []string
	// Env is the environment.
	Env []string
	// Inputs are the contents of the files that the program reads at its
	// start: when they change, the program is started again.
	Inputs []string
	// RunDir holds the record (NAME.pid), LogDir the output (NAME.log).
	RunDir, LogDir string
}

// Running is a service that is known to run.
type Running struct {
	// Service is what runs.
	Service Service
	// Fresh is true when it was started now rather than found running.
	Fresh bool

	record Record
	ended  atomic.Pointer[string]
}

// RecordFile is where the service's process is recorded.
func (s Service) RecordFile() string { return filepath.Join(s.RunDir, s.Name+".pid") }

// LogFile is where the service's output goes.
func (s Service) LogFile() string { return filepath.Join(s.LogDir, s.Name+".log") }

// key is a hash of everything that the program was started with.
func (s Service) key() string {
	h := sha256.New()
	for _, list := range [][]string{s.Args, s.Env, s.Inputs} {
		fmt.Fprintf(h, "%q\n", list)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Ensure makes the service run: it leaves a process alone that runs what is
// asked for, replaces one that runs something else, and starts one otherwise.
func (s Service) Ensure(ctx context.Context) (*Running, error) {
	if r, ok := Read(s.RecordFile()); ok && r.Alive() {
		if r.Key == s.key() {
			return &Running{Service: s, record: r}, nil
		}
		if err := Stop(ctx, r, s.Name); err != nil {
			return nil, err
		}
	}
	return s.start()
}

func (s Service) start() (*Running, error) {
	for _, dir := range []string{s.RunDir, s.LogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make a directory for %s: %w", s.Name, err)
		}
	}
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", s.Name, err)
	}
	defer log.Close()
	line := append(append([]string{}, s.Prefix...), s.Args...)
	// Not bound to a context: the program outlives this command.
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = log, log, s.Env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	record, err := recordOf(cmd.Process.Pid, s.key())
	if err == nil {
		err = record.write(s.RecordFile())
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("record the process of %s: %w", s.Name, err)
	}
	r := &Running{Service: s, Fresh: true, record: record}
	go func() {
		err := cmd.Wait()
		how := "it exited without an error"
		if err != nil {
			how = err.Error()
		}
		r.ended.Store(&how)
	}()
	return r, nil
}

// PID is the process id.
func (r *Running) PID() int { return r.record.PID }

// Err says why the service does not run any more, nil while it runs. The
// message carries the end of its log.
func (r *Running) Err() error {
	if how := r.ended.Load(); how != nil {
		return fmt.Errorf("%s ended: %s; the end of %s: %s", r.Service.Name, *how, r.Service.LogFile(), r.Service.LogTail())
	}
	// Of a process of our own we are told how it ended.
	if !r.Fresh && !r.record.Alive() {
		return fmt.Errorf("%s ended; the end of %s: %s", r.Service.Name, r.Service.LogFile(), r.Service.LogTail())
	}
	return nil
}

// LogTail is the end of the service's log, as one line.
func (s Service) LogTail() string {
	const bytes, lines = 2000, 3
	f, err := os.Open(s.LogFile())
	if err != nil {
		return "(no log)"
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-bytes), io.SeekStart)
	}
	text, _ := io.ReadAll(io.LimitReader(f, bytes))
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, " | ")
}

// stopGrace is how long a process may take to end before it is killed.
const stopGrace = 15 * time.Second

// Stop ends the recorded process, first with SIGTERM, and waits until it has
// gone, so that its ports and files are free. It never touches a process that
// only has the same id.
func Stop(ctx context.Context, r Record, name string) error {
	if err := signal(r, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	killed := false
	for deadline := time.Now().Add(stopGrace); r.Alive(); {
		if !killed && time.Now().After(deadline) {
			killed = true
			if err := signal(r, syscall.SIGKILL); err != nil {
				return fmt.Errorf("kill %s: %w", name, err)
			}
		}
		if time.Now().After(deadline.Add(stopGrace)) {
			return fmt.Errorf("%s (process %d) does not end even when killed: look at its state in /proc/%d/stack", name, r.PID, r.PID)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to end: %w", name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// signal sends a signal through a process descriptor, which keeps naming the
// same process between the check and the signal.
func signal(r Record, s syscall.Signal) error {
	p, err := os.FindProcess(r.PID)
	if err != nil {
		return nil // it has gone
	}
	defer func() { _ = p.Release() }()
	if !r.Alive() {
		return nil
	}
	if err := p.Signal(s); err != nil && r.Alive() {
		return fmt.Errorf("signal process %d: %w", r.PID, err)
	}
	return nil
}

// Found is a service that another run started, by its record.
func Found(s Service, r Record) *Running { return &Running{Service: s, record: r} }
