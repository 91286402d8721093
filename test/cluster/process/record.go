// SPDX-License-Identifier: Apache-2.0

// Package process starts long-running programs that outlive their starter and
// remembers them by process id and start time, so that a process that merely
// got a recycled id is never taken for ours.
package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/meshwright/meshwright/test/cluster/host"
)

// Record identifies one process for as long as the machine is up.
type Record struct {
	// PID is the process id.
	PID int `json:"pid"`
	// Start is the process's start time in clock ticks after boot (field 22
	// of /proc/PID/stat, proc(5)).
	Start uint64 `json:"start"`
	// Boot is the boot of the machine that Start counts from.
	Boot string `json:"boot"`
	// Key is a hash of what the process was started with.
	Key string `json:"key"`
}

// Alive says whether that very process still runs; one that has ended and that
// nobody has waited for yet does not.
func (r Record) Alive() bool {
	if r.PID <= 0 {
		return false
	}
	boot, err := host.Boot()
	if err != nil || boot != r.Boot {
		return false
	}
	s, err := stat(r.PID)
	return err == nil && s.start == r.Start && !s.ended()
}

// recordOf identifies the running process pid.
func recordOf(pid int, key string) (Record, error) {
	boot, err := host.Boot()
	if err != nil {
		return Record{}, err
	}
	s, err := stat(pid)
	if err != nil {
		return Record{}, err
	}
	return Record{PID: pid, Start: s.start, Boot: boot, Key: key}, nil
}

// status is what a line of /proc/PID/stat says.
type status struct {
	state   byte
	threads int
	start   uint64
}

// ended tells a process that has ended from one whose first thread has: that
// is also what a process looks like for a moment while one of its other
// threads turns it into another program.
func (s status) ended() bool {
	return (s.state == 'Z' || s.state == 'X') && s.threads <= 1
}

func stat(pid int) (status, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return status{}, fmt.Errorf("look up process %d: %w", pid, err)
	}
	return parseStat(string(text))
}

// parseStat reads a line of /proc/PID/stat. The program's name is in
// parentheses and may hold anything, even parentheses and spaces, so fields
// are counted from the last closing one.
func parseStat(line string) (status, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return status{}, errors.New("a process status line without a program name")
	}
	fields := strings.Fields(line[end+1:])
	const stateField, threadsField, startField = 0, 17, 19
	if len(fields) <= startField || len(fields[stateField]) != 1 {
		return status{}, errors.New("a process status line that is too short")
	}
	start, err := strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return status{}, fmt.Errorf("a process status line with a bad start time: %w", err)
	}
	threads, err := strconv.Atoi(fields[threadsField])
	if err != nil {
		return status{}, fmt.Errorf("a process status line with a bad thread count: %w", err)
	}
	return status{state: fields[stateField][0], threads: threads, start: start}, nil
}

// Read is the record in the file, false when there is none or it is damaged:
// a record that cannot be read identifies no process.
func Read(file string) (Record, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Record{}, false
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, false
	}
	return r, true
}

// write records r in the file.
func (r Record) write(file string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a process record: %w", err)
	}
	return host.WriteFile(file, append(text, '\n'), 0o644)
}
