// SPDX-License-Identifier: Apache-2.0

//go:build linux

package child

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, script string) *Child {
	t.Helper()
	c, err := Start("/bin/sh", []string{"-c", script})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop(0) })
	return c
}

func TestStatus(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -SEGV $$": 128 + int(syscall.SIGSEGV)} {
		c := start(t, script)
		if code, text := c.Status(); code != want || text == "" {
			t.Errorf("%s: %d %q, want %d", script, code, text, want)
		}
	}
	if _, err := Start(filepath.Join(t.TempDir(), "absent"), nil); err == nil {
		t.Error("an absent program was started")
	}
}

func TestStopAsksThenKills(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	wait := func() {
		t.Helper()
		for range 500 {
			if _, err := os.Stat(ready); err == nil {
				_ = os.Remove(ready)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("the script did not start")
	}
	polite := start(t, "trap 'exit 3' TERM; touch "+ready+"; while :; do sleep 0.05; done")
	wait()
	polite.Stop(10 * time.Second)
	if code, _ := polite.Status(); code != 3 {
		t.Errorf("the program could not end by itself: %d", code)
	}
	deaf := start(t, "trap '' TERM; touch "+ready+"; while :; do sleep 0.05; done")
	wait()
	began := time.Now()
	deaf.Stop(200 * time.Millisecond)
	if code, _ := deaf.Status(); code != 128+int(syscall.SIGKILL) || time.Since(began) > 5*time.Second {
		t.Errorf("code %d after %s", code, time.Since(began))
	}
}

// TestChildDiesWithItsParent runs itself as a parent that is killed, and looks whether its child is gone.
func TestChildDiesWithItsParent(t *testing.T) {
	if file := os.Getenv("CHILD_TEST_PID_FILE"); file != "" {
		c, err := Start("/bin/sleep", []string{"60"})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(c.PID())), 0o600); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		return
	}
	file := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(os.Args[0], "-test.run", "^TestChildDiesWithItsParent$")
	parent.Env = append(os.Environ(), "CHILD_TEST_PID_FILE="+file)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	for range 500 {
		text, _ := os.ReadFile(file)
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(text))); pid != 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if pid == 0 {
		t.Fatal("the parent started no child")
	}
	time.Sleep(100 * time.Millisecond)
	if !running(pid) {
		t.Fatal("the child ended although its parent lives")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for range 200 {
		if !running(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Error("the child outlived its parent")
}

// running reports whether the process exists and is no zombie that nobody has waited for.
func running(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z")
}
