// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A pod needs a certificate when it starts and at half life; a service account may be shared by a thousand pods that
// start together. Hence two limits, requests per second and burst.
const (
	podRate, podBurst         = 0.2, 10
	accountRate, accountBurst = 50, 500
	// maxLimiters bounds the memory of limiters of each kind.
	maxLimiters = 16384
	// limiterLife is how long an unused limiter is kept; by then its bucket is full again.
	limiterLife = 5 * time.Minute
)

// limiters hands out one token bucket per key. It is safe for concurrent use.
type limiters struct {
	rate  rate.Limit
	burst int

	mu   sync.Mutex
	held map[string]*bucket
}

type bucket struct {
	limiter *rate.Limiter
	used    time.Time
}

func newLimiters(perSecond rate.Limit, burst int) *limiters {
	return &limiters{rate: perSecond, burst: burst, held: map[string]*bucket{}}
}

// allow takes one token of the key's bucket at the time now.
func (l *limiters) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.held[key]
	if !ok {
		l.shrink(now)
		b = &bucket{limiter: rate.NewLimiter(l.rate, l.burst)}
		l.held[key] = b
	}
	b.used = now
	return b.limiter.AllowN(now, 1)
}

func (l *limiters) shrink(now time.Time) {
	if len(l.held) < maxLimiters {
		return
	}
	for key, b := range l.held {
		if now.Sub(b.used) > limiterLife {
			delete(l.held, key)
		}
	}
	if len(l.held) >= maxLimiters {
		clear(l.held)
	}
}
