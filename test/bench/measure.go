// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
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

func short(typ string) string { return typ[strings.LastIndexByte(typ, '.')+1:] }

// synced tells whether all clients hold the endpoints of n services and
// otherwise as much as each other of the types that count.
func (f *fleet) synced(n int) (bool, error) {
	for _, c := range f.clients {
		have, err := c.counts()
		if err != nil {
			return false, err
		}
		if have[typeCluster] < 2*n || have[typeEndpoint] < 2*n || have[typeHost] < n || have[typeListener] < n || have[typeRoute] < 1 {
			return false, nil
		}
	}
	return true, nil
}

// sync waits until all clients hold everything and nothing came for a moment,
// and returns when the last of it came.
func (f *fleet) sync(ctx context.Context, services int) (time.Time, error) {
	const still = 300 * time.Millisecond
	start, last, bytes := time.Now(), time.Now(), int64(-1)
	for {
		ok, err := f.synced(services)
		if err != nil {
			return last, err
		}
		if now := f.bytes.Load(); now != bytes || !ok {
			bytes, last = now, time.Now()
		}
		if ok && time.Since(last) > still {
			return last, nil
		}
		if time.Since(start) > 5*patience {
			have, _ := f.clients[0].counts()
			return last, fmt.Errorf("clients are not in sync after %v; the first holds %v", 5*patience, have)
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
