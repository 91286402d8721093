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

// Alive says whether that very process still runs; a zombie does not.
func (r Record) Alive() bool {
	if r.PID <= 0 {
		return false
	}
	boot, err := host.Boot()
	if err != nil || boot != r.Boot {
		return false
	}
	start, state, err := stat(r.PID)
	return err == nil && start == r.Start && state != 'Z' && state != 'X'
}

// recordOf identifies the running process pid.
func recordOf(pid int, key string) (Record, error) {
	boot, err := host.Boot()
	if err != nil {
		return Record{}, err
	}
	start, _, err := stat(pid)
	if err != nil {
		return Record{}, err
	}
	return Record{PID: pid, Start: start, Boot: boot, Key: key}, nil
}

func stat(pid int) (start uint64, state byte, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("look up process %d: %w", pid, err)
	}
	return parseStat(string(text))
}

// parseStat reads start time and state from a line of /proc/PID/stat. The
// program's name is in parentheses and may hold anything, even parentheses
// and spaces, so fields are counted from the last closing one.
func parseStat(line string) (start uint64, state byte, err error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return 0, 0, errors.New("a process status line without a program name")
	}
	fields := strings.Fields(line[end+1:])
	const stateField, startField = 0, 19
	if len(fields) <= startField || len(fields[stateField]) != 1 {
		return 0, 0, errors.New("a process status line that is too short")
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("a process status line with a bad start time: %w", err)
	}
	return start, fields[stateField][0], nil
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
