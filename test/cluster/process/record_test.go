// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	rest := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21"
	for _, name := range []string{"(sleep)", "(a b)", "(x) R 9 9)", "())"} {
		got, err := parseStat("42 " + name + rest)
		if want := (status{state: 'S', threads: 17, start: 777}); err != nil || got != want {
			t.Errorf("%s: got %+v %v, want %+v", name, got, err, want)
		}
	}
	for _, bad := range []string{"", "42 (x)", "42 (x) S 1 2", "42 (x) S" + strings.Repeat(" z", 30)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestEnded(t *testing.T) {
	for _, tc := range []struct {
		status status
		want   bool
	}{
		{status{state: 'S', threads: 1}, false},
		{status{state: 'R', threads: 9}, false},
		{status{state: 'Z', threads: 1}, true},
		{status{state: 'X', threads: 0}, true},
		// The first thread has ended while another runs exec.
		{status{state: 'Z', threads: 2}, false},
	} {
		if got := tc.status.ended(); got != tc.want {
			t.Errorf("%c with %d threads: ended is %v", tc.status.state, tc.status.threads, got)
		}
	}
}

func service(t *testing.T, args ...string) Service {
	dir := t.TempDir()
	s := Service{Name: "sleeper", Args: args, RunDir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "logs")}
	t.Cleanup(func() {
		if r, ok := Read(s.RecordFile()); ok && r.Alive() {
			if err := Stop(context.Background(), r, s.Name); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

func ensure(t *testing.T, s Service) *Running {
	t.Helper()
	r, err := s.Ensure(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEnsureKeepsReplacesAndRestarts(t *testing.T) {
	s := service(t, "/bin/sleep", "60")
	first := ensure(t, s)
	if !first.Fresh || first.Err() != nil {
		t.Fatalf("first start: fresh %v, %v", first.Fresh, first.Err())
	}
	if same := ensure(t, s); same.Fresh || same.PID() != first.PID() {
		t.Errorf("what runs already was started again: process %d, then %d", first.PID(), same.PID())
	}
	changed := s
	changed.Inputs = []string{"another configuration"}
	second := ensure(t, changed)
	if second.PID() == first.PID() || first.record.Alive() {
		t.Error("a changed input did not replace the process")
	}
	if err := syscall.Kill(second.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return second.Err() != nil })
	if third := ensure(t, changed); !third.Fresh || third.Err() != nil {
		t.Errorf("after a crash: fresh %v, %v", third.Fresh, third.Err())
	}
}

func TestForeignProcessWithTheSameNumberIsLeftAlone(t *testing.T) {
	foreign := exec.Command("/bin/sleep", "60")
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = foreign.Process.Kill(); _ = foreign.Wait() }()
	running, err := recordOf(foreign.Process.Pid, "")
	if err != nil {
		t.Fatal(err)
	}
	stale := running
	stale.Start--
	otherBoot := running
	otherBoot.Boot = "an earlier one"
	for _, r := range []Record{stale, otherBoot, {}} {
		if r.Alive() {
			t.Errorf("%+v counts as alive", r)
		}
		if err := Stop(context.Background(), r, "sleeper"); err != nil {
			t.Error(err)
		}
	}
	if !running.Alive() {
		t.Fatal("a process that was not ours was ended")
	}
	s := service(t, "/bin/sleep", "60")
	if err := stale.write(s.RecordFile()); err != nil {
		t.Fatal(err)
	}
	if r := ensure(t, s); !r.Fresh {
		t.Error("a foreign process was taken for the service")
	}
	if !running.Alive() {
		t.Fatal("a process that was not ours was ended")
	}
}

func TestErrShowsTheLog(t *testing.T) {
	s := service(t, "/bin/sh", "-c", "echo listen: address in use >&2; exit 3")
	r := ensure(t, s)
	eventually(t, func() bool { return r.Err() != nil })
	for _, want := range []string{"sleeper", "exit status 3", "address in use"} {
		if !strings.Contains(r.Err().Error(), want) {
			t.Errorf("%q does not say %q", r.Err(), want)
		}
	}
}

func TestDamagedRecordIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.pid")
	for _, text := range []string{"", "123", "{\"pid\":"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if r, ok := Read(file); ok && r.Alive() {
			t.Errorf("%q was read as the living process %d", text, r.PID)
		}
	}
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 10 s")
		}
	}
}
