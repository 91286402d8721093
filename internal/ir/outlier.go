// SPDX-License-Identifier: Apache-2.0

package ir

import "time"

// OutlierDetection takes endpoints that fail out of the load balancing for a
// while. Of numbers, nil is the proxy's default and 0 switches the detector off.
type OutlierDetection struct {
	Consecutive5xx         *uint32
	ConsecutiveGateway     *uint32
	ConsecutiveLocalOrigin *uint32 // only with SplitLocalOrigin
	SplitLocalOrigin       bool
	Interval               time.Duration // 0: 10 s
	BaseEjectionTime       time.Duration // 0: 30 s
	MaxEjectionPercent     uint32        // 0: 10
	MinHealthPercent       uint32        // below it, bad endpoints are used too
	ErrorCodes             []uint32      // HTTP statuses that are errors, sorted; empty: 5xx
}
