// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	fluxNamespace = "flux-system"
	// sourceController is the module whose definitions of sources are installed.
	sourceController = "github.com/fluxcd/source-controller@v1.9.5"
)

// controller is Flux's kustomize-controller, run beside the cluster.
type controller struct {
	mu    sync.Mutex
	begun []byte
	lines [][]byte
}

// startController installs Flux's definitions and starts the controller with its own settings, but for how often it
// looks whether a dependency is ready.
func startController(t *testing.T) *controller {
	t.Helper()
	must(t, programs.Ensure(t.Context(), "flux"))
	for _, dir := range []string{
		moduleDir(t, "list", "-m", "-json", "github.com/fluxcd/kustomize-controller"),
		moduleDir(t, "mod", "download", "-json", sourceController),
	} {
		files, err := filepath.Glob(filepath.Join(dir, "config", "crd", "bases", "*.yaml"))
		must(t, err)
		if len(files) == 0 {
			t.Fatalf("%s has no definitions", dir)
		}
		must(t, cluster.ApplyFiles(t.Context(), "", files...))
	}
	must(t, cluster.MakeNamespace(t.Context(), fluxNamespace, nil))
	c := &controller{}
	cmd := exec.CommandContext(t.Context(), programs.Path("kustomize-controller"),
		"--watch-all-namespaces", "--log-level=info", "--log-encoding=json", "--requeue-dependency=1s",
		"--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig, "RUNTIME_NAMESPACE="+fluxNamespace)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = c
	ended := make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		// The kernel ends the program with the thread that started it.
		runtime.LockOSThread()
		started <- cmd.Start()
		ended <- cmd.Wait()
	}()
	must(t, <-started)
	t.Cleanup(func() {
		<-ended
		if t.Failed() {
			t.Logf("the end of what kustomize-controller logged:\n%s", c.tail(40))
		}
	})
	return c
}

// moduleDir is where the module that a go command tells of lies.
func moduleDir(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = filepath.Join(root, "test", "cluster", "flux")
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v: %s", strings.Join(args, " "), err, out)
	}
	var module struct{ Dir string }
	must(t, json.Unmarshal(out, &module))
	return module.Dir
}

// Write keeps what the controller logs, line by line.
func (c *controller) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = append(c.begun, text...)
	for {
		line, rest, whole := bytes.Cut(c.begun, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		c.lines, c.begun = append(c.lines, bytes.Clone(line)), rest
	}
}

func (c *controller) tail(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Join(c.lines[max(0, len(c.lines)-n):], []byte("\n"))
}

// mark is a place in the log.
func (c *controller) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

// applied is one line of the controller about an apply: what it did to each object.
type applied struct {
	Message       string `json:"msg"`
	Kustomization struct {
		Name string `json:"name"`
	} `json:"Kustomization"`
	Output map[string]string `json:"output"`
}

// changes lists what the controller did to objects since the mark, but for finding them unchanged. looked counts its
// applies for each Kustomization.
func (c *controller) changes(since int) (changed []string, looked map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	looked = map[string]int{}
	for _, line := range c.lines[since:] {
		var a applied
		if json.Unmarshal(line, &a) != nil || a.Message != "server-side apply completed" {
			continue
		}
		looked[a.Kustomization.Name]++
		for object, action := range a.Output {
			if action != "unchanged" {
				changed = append(changed, fmt.Sprintf("%s: %s %s", a.Kustomization.Name, object, action))
			}
		}
	}
	return changed, looked
}
