// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// progressEvery is how often a long build says that it is still alive.
const progressEvery = 20 * time.Second

// build compiles a part's programs, static and without paths of this machine,
// into the directory work.
func (c *Cache) build(ctx context.Context, p Part, work string) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the go command is not in PATH: install Go 1.26 or newer (https://go.dev/dl)")
	}
	output := work + string(filepath.Separator)
	if len(p.Programs) == 1 {
		output = filepath.Join(work, p.Programs[0])
	}
	args := []string{"build", "-trimpath", "-ldflags", strings.TrimSpace("-s -w " + p.ldflags), "-o", output}
	cmd := exec.CommandContext(ctx, "go", append(args, p.packages...)...)
	cmd.Dir = filepath.Join(c.Source, p.dir)
	// The nested modules stand alone: neither a workspace nor flags of the
	// surrounding build may change what is pinned.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	return c.run(cmd, fmt.Sprintf("building %s %s", p.Name, p.Version))
}

// run runs a command, says every now and then that it goes on, and puts the
// end of the command's output into the error.
func (c *Cache) run(cmd *exec.Cmd, what string) error {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	fmt.Fprintln(c.Out, what)
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%s: %w: %s", what, err, lastLines(output.String(), 5))
			}
			return nil
		case <-tick.C:
			fmt.Fprintf(c.Out, "%s: %s so far\n", what, time.Since(started).Round(time.Second))
		}
	}
}

// lastLines are the last n lines of text, joined into one.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " | ")
}
