// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// step is one numbered part of the demo.
type step struct {
	title string
	limit time.Duration
	// remedy tells what to try when the step fails.
	remedy string
	run    func(context.Context) error
}

// printer writes progress: numbered steps, notes below them, elapsed times.
type printer struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

func newPrinter(out io.Writer) *printer { return &printer{out: out, start: time.Now()} }

func (p *printer) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *printer) detail(format string, args ...any) { p.note("      "+format, args...) }

// run carries out the steps in order and stops at the first that fails.
func (d *demo) run(ctx context.Context, steps []step) error {
	for i, s := range steps {
		d.out.note("[%d/%d] %s", i+1, len(steps), s.title)
		began := time.Now()
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, s.limit)
			defer cancel()
			return s.run(ctx)
		}()
		took := time.Since(began).Seconds()
		if err != nil {
			d.out.note("      FAILED after %.1f s", took)
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("step %d (%s): interrupted; run it again to go on, or make demo-down to remove it", i+1, s.title)
			}
			return fmt.Errorf("step %d (%s): %w\n\n  %s\n  what is there stays for a look: export KUBECONFIG=%s; make demo-down removes it",
				i+1, s.title, err, s.remedy, d.absolute())
		}
		d.out.note("      done in %.1f s", took)
	}
	d.out.note("All %d steps passed in %.0f s.", len(steps), time.Since(d.out.start).Seconds())
	return nil
}

// command runs a program of this repository and shows what it prints.
func (d *demo) command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = os.Environ()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("prepare %s: %w", name, err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	last := ""
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text := strings.TrimRight(lines.Text(), " \r"); text != "" {
			if !strings.HasPrefix(text, "exit status ") {
				last = text
			}
			d.out.detail("%s", text)
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, last)
	}
	return nil
}
