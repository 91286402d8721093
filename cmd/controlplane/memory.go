// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
)

const (
	msgMemory = "the garbage collector knows the container's limit"

	// garbagePercent makes the collector run at a third of the usual growth: when all proxies connect at once, what they
	// say and are sent is garbage a moment later, and otherwise there is little garbage.
	garbagePercent = 35
	// heapPercent of the container's limit is for the runtime; the rest is for what it does not count, such as the
	// kernel's buffers and the pages of the program itself.
	heapPercent = 80
	// cgroupLimit is where the kernel says the container's limit
	// (https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files).
	cgroupLimit = "/sys/fs/cgroup/memory.max"
)

// bound tells the garbage collector how much memory there is, so that it collects more often before the container is
// killed. GOGC and GOMEMLIMIT in the environment are stronger.
func bound(log logr.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	text, err := os.ReadFile(cgroupLimit)
	if err != nil {
		return // Not in a container, or not of this kernel's kind.
	}
	if limit, ok := memoryLimit(string(text)); ok {
		debug.SetMemoryLimit(limit)
		log.Info(msgMemory, "bytes", limit)
	}
}

// memoryLimit is the runtime's part of a limit as the kernel writes it; there may be none.
func memoryLimit(text string) (int64, bool) {
	limit, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || limit <= 0 {
		return 0, false // The word max.
	}
	return limit / 100 * heapPercent, true
}
