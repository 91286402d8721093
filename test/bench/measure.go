// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// patience is how long a run waits for what should take milliseconds.
const patience = time.Minute

// usage is what a process has used so far.
type usage struct {
	cpu      time.Duration
	rss, max int64 // bytes
}

// ticks is the kernel's USER_HZ, which is 100 on all Linux ports that Go has.
const ticks = 100

// usageOf reads /proc (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html).
func usageOf(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("the control plane's process is gone: %w", err)
	}
	// The second field is the program's name, which may contain anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return u, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		u.cpu += time.Duration(n) * time.Second / ticks
	}
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("the control plane's process is gone: %w", err)
	}
	defer status.Close()
	for s := bufio.NewScanner(status); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.rss = kib << 10
		case "VmHWM":
			u.max = kib << 10
		}
	}
	return u, nil
}

// quantile of sorted durations; p is between 0 and 1.
func quantile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	at := int(p*float64(len(sorted)) + 0.5)
	return sorted[min(max(at, 1), len(sorted))-1]
}
