// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// sidecarWorkers is how many worker threads a sidecar without a CPU limit gets at most. Each worker holds its own
// connection pools and costs memory, and one application seldom needs more.
const sidecarWorkers = 2

// Concurrency is the number of Envoy's worker threads: the wanted number if it is positive, all CPUs if it is negative, else the container's CPU limit
// rounded up, else (no limit) all CPUs for a router and at most two for a sidecar. cgroups is the container's /sys/fs/cgroup
// (https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files, and the cpu controller of version 1).
func Concurrency(role Role, wanted, cpus int, cgroups fs.FS) (int, error) {
	switch {
	case wanted > 0:
		return wanted, nil
	case wanted < 0:
		return cpus, nil
	}
	limit, err := cpuLimit(cgroups)
	if err != nil {
		return 0, err
	}
	switch {
	case limit > 0:
		return min(limit, cpus), nil
	case role == Sidecar:
		return min(sidecarWorkers, cpus), nil
	}
	return cpus, nil
}

// cpuLimit is the CPU quota in whole CPUs, rounded up; 0 means that there is none.
func cpuLimit(cgroups fs.FS) (int, error) {
	both, err := fs.ReadFile(cgroups, "cpu.max")
	if errors.Is(err, fs.ErrNotExist) {
		return cpuLimitV1(cgroups)
	}
	if err != nil {
		return 0, fmt.Errorf("read the CPU limit: %w", err)
	}
	quota, period, _ := strings.Cut(strings.TrimSpace(string(both)), " ")
	if quota == "max" {
		return 0, nil
	}
	return wholeCPUs(quota, period)
}

func cpuLimitV1(cgroups fs.FS) (int, error) {
	quota, err := fs.ReadFile(cgroups, "cpu/cpu.cfs_quota_us")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the CPU limit: %w", err)
	}
	period, err := fs.ReadFile(cgroups, "cpu/cpu.cfs_period_us")
	if err != nil {
		return 0, fmt.Errorf("read the CPU limit: %w", err)
	}
	return wholeCPUs(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

func wholeCPUs(quota, period string) (int, error) {
	q, err := strconv.ParseInt(quota, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("CPU quota %q is not a number of microseconds", quota)
	}
	p, err := strconv.ParseInt(period, 10, 64)
	if err != nil || p <= 0 {
		return 0, fmt.Errorf("CPU period %q is not a positive number of microseconds", period)
	}
	if q <= 0 {
		return 0, nil
	}
	return int((q + p - 1) / p), nil
}
