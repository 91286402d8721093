// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

const (
	// firstRetry and lastRetry bound the pause after a failed request; it doubles in between.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
	// renewalJitter spreads renewals, so that pods that started together do not ask together for ever.
	renewalJitter = 0.1
	// rootInterval is how often the mounted roots are looked at. The kubelet itself takes up to a minute to refresh them.
	rootInterval = 10 * time.Second
)

const (
	msgIssued  = "certificate issued"
	msgFailed  = "certificate not issued, trying again"
	msgOther   = "the certificate is for another identity than this pod's settings say; check the trust domain"
	msgRoots   = "roots of the mesh changed"
	msgNoRoots = "roots of the mesh could not be read, keeping the last ones"
)

// Options of a Keeper.
type Options struct {
	Signer Signer
	// RootFile is the mounted bundle of the mesh's roots.
	RootFile string
	// TTL is the lifetime to ask for.
	TTL time.Duration
	// Expected is the SPIFFE id that the pod should get.
	Expected string
	// Publish is called with each new material, from the goroutine of Run.
	Publish func(*Material)
	// Observe is called after each request, with nil or the reason why it failed.
	Observe func(error)
	Log     logr.Logger
}

// Keeper holds the workload's current certificate. When a renewal fails, the last good one stays.
type Keeper struct {
	options Options
	mu      sync.Mutex
	current *Material
	roots   []byte
	first   chan struct{}
}

// NewKeeper makes a keeper that does nothing until Run.
func NewKeeper(options Options) *Keeper {
	return &Keeper{options: options, first: make(chan struct{})}
}

// First is closed when the first certificate is there.
func (k *Keeper) First() <-chan struct{} { return k.first }

// Current is the certificate in use, or nil before the first one.
func (k *Keeper) Current() *Material {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// Run obtains certificates until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	renew := time.NewTimer(0)
	defer renew.Stop()
	look := time.NewTicker(rootInterval)
	defer look.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			k.refreshRoots()
		case <-renew.C:
			err := k.issue(ctx)
			if ctx.Err() != nil {
				return
			}
			k.options.Observe(err)
			pause := k.untilRenewal()
			if err != nil {
				failures++
				pause = Backoff(failures)
				k.logFailure(err, pause)
			} else {
				failures = 0
			}
			renew.Reset(pause)
		}
	}
}

// untilRenewal is half of what is left of the certificate's life, a tenth more or less.
func (k *Keeper) untilRenewal() time.Duration {
	current := k.Current()
	if current == nil {
		return 0
	}
	half := float64(time.Until(current.NotAfter)) / 2
	return max(time.Duration(half*(1-renewalJitter+2*renewalJitter*rand.Float64())), firstRetry)
}

// Backoff is the pause after that many failures in a row: between half of an exponentially growing bound and all of it.
func Backoff(failures int) time.Duration {
	bound := lastRetry
	if shift := failures - 1; shift < 10 {
		bound = min(firstRetry<<shift, lastRetry)
	}
	return bound/2 + rand.N(bound/2)
}

func (k *Keeper) issue(ctx context.Context) error {
	key, request, err := newKey()
	if err != nil {
		return err
	}
	answer, err := k.options.Signer.Sign(ctx, request, k.options.TTL)
	if err != nil {
		return err
	}
	// The bundle is optional here: the answer may carry the root, and the signer verified the server by its own means.
	file, err := readBounded(k.options.RootFile, maxRootBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next, err := newMaterial(key, answer, file, time.Now())
	if err != nil {
		return err
	}
	if next.ID != k.options.Expected {
		k.options.Log.Info(msgOther, "identity", next.ID, "expected", k.options.Expected)
	}
	k.options.Log.Info(msgIssued, "identity", next.ID, "notAfter", next.NotAfter)
	k.publish(next, file)
	return nil
}

func (k *Keeper) publish(next *Material, roots []byte) {
	k.mu.Lock()
	isFirst := k.current == nil
	k.current, k.roots = next, roots
	k.mu.Unlock()
	k.options.Publish(next)
	if isFirst {
		close(k.first)
	}
}

// refreshRoots publishes the current certificate with new roots when the mounted bundle changed.
func (k *Keeper) refreshRoots() {
	current := k.Current()
	if current == nil {
		return
	}
	file, err := readBounded(k.options.RootFile, maxRootBytes)
	if err != nil {
		k.options.Log.Error(err, msgNoRoots)
		return
	}
	if bytes.Equal(file, k.roots) {
		return
	}
	next, err := current.withRoots(file)
	if err != nil {
		k.options.Log.Error(err, msgNoRoots)
		return
	}
	k.options.Log.Info(msgRoots)
	k.publish(next, file)
}

func (k *Keeper) logFailure(err error, pause time.Duration) {
	keys := []any{"retryAfter", pause.Round(time.Millisecond).String()}
	if current := k.Current(); current != nil {
		keys = append(keys, "currentExpires", current.NotAfter, "expired", !time.Now().Before(current.NotAfter))
	}
	k.options.Log.Error(err, msgFailed, keys...)
}
