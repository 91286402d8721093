// SPDX-License-Identifier: Apache-2.0

// Package health finds out whether the workload of a machine is healthy, as the kubelet does for that of a pod.
package health

import (
	"context"
	"time"

	"github.com/meshwright/meshwright/internal/agent/probe"
)

// Probe is what is done, how often, and how many results in a row count.
type Probe struct {
	probe.Probe

	InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`
	PeriodSeconds       int32 `json:"periodSeconds,omitempty"`    // values below 1 mean 10
	SuccessThreshold    int32 `json:"successThreshold,omitempty"` // values below 1 mean 1
	FailureThreshold    int32 `json:"failureThreshold,omitempty"` // values below 1 mean 3
}

// The numbers of Kubernetes.
const (
	defaultPeriod    = 10
	defaultSuccesses = 1
	defaultFailures  = 3
)

func or(value, otherwise int32) int32 {
	if value < 1 {
		return otherwise
	}
	return value
}

// Watch executes a probe until the context ends and tells of each turn: what is wrong, or nothing. A workload of which
// nothing was told yet is not healthy.
func Watch(ctx context.Context, p Probe, check func(context.Context, probe.Probe) error, tell func(problem string)) {
	pause := time.Duration(max(p.InitialDelaySeconds, 0)) * time.Second
	count := counter{successes: or(p.SuccessThreshold, defaultSuccesses), failures: or(p.FailureThreshold, defaultFailures)}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = time.Duration(or(p.PeriodSeconds, defaultPeriod)) * time.Second
		err := check(ctx, p.Probe)
		if ctx.Err() != nil {
			return
		}
		if count.turns(err == nil) {
			problem := ""
			if err != nil {
				problem = err.Error()
			}
			tell(problem)
		}
	}
}

// counter counts equal results in a row.
type counter struct {
	successes, failures int32 // that it takes

	last          bool
	run           int32
	told, healthy bool
}

// turns takes a result and tells whether the workload's health turns with it.
func (c *counter) turns(ok bool) bool {
	if ok != c.last || c.run == 0 {
		c.last, c.run = ok, 0
	}
	needed := c.failures
	if ok {
		needed = c.successes
	}
	c.run = min(c.run+1, needed)
	if c.run < needed || c.told && c.healthy == ok {
		return false
	}
	c.told, c.healthy = true, ok
	return true
}
