// SPDX-License-Identifier: Apache-2.0

// Package notebook keeps what workloads use in ConfigMaps of the control plane's
// namespace, so that replicas of the control plane know it of each other, and those
// that start later know it of workloads that have no proxy then.
//
// There is a fixed number of ConfigMaps, the pages, so that rights to their names
// are enough; a workload's hash says which one is its own. Writing is rare: what is
// new gathers for a while, a write changes only the keys at hand, and it fails when
// another replica was faster, which is then read before the next. Nothing depends on
// the notebook: a workload that was forgotten asks again.
package notebook

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
)

// Pages is the number of ConfigMaps; the chart makes as many.
const Pages = 16

const (
	// gathering is the least time between two writes of one replica; up to as much
	// is left to chance, so that replicas do not write together.
	gathering = 15 * time.Second
	// sweeping is the time between two looks for what can be forgotten.
	sweeping = time.Hour
	// startLimit is for how long a start waits for what was kept, and writeLimit
	// for how long one write may take.
	startLimit = 5 * time.Second
	writeLimit = 5 * time.Second
)

const (
	msgUnread = "What workloads used could not be read yet; going on without it, they will ask"
	msgUnkept = "Cannot keep what workloads use; trying again"
	msgNoRoom = "There is no room to keep what these workloads use; they will ask again when the control plane has started anew"

	keyPage      = "configMap"
	keyWorkloads = "workloads"
)

// Pupil is who learns, and tells what is worth keeping.
type Pupil interface {
	// Learn takes what was kept of workloads.
	Learn(map[Workload]Uses)
	// Changed returns all that workloads use, of those that learned something since
	// the last call.
	Changed() map[Workload]Uses
	// Extant returns what of it exists at present.
	Extant(Uses) Uses
	// HasProxies tells whether a workload has proxies here.
	HasProxies(Workload) bool
}

// Notebook is the ConfigMaps.
type Notebook struct {
	pages  [Pages]*page
	pupil  Pupil
	log    logr.Logger
	now    func() time.Time
	synced chan struct{}
}

// New returns a notebook in the ConfigMaps NAME-0, NAME-1 and so on of a namespace.
func New(set kubernetes.Interface, namespace, name string, log logr.Logger) *Notebook {
	n := &Notebook{log: log, now: time.Now, synced: make(chan struct{})}
	for i := range n.pages {
		n.pages[i] = newPage(set, namespace, name+"-"+strconv.Itoa(i), log)
	}
	return n
}

// Synced is closed when what was kept was learned, or when that takes too long.
func (n *Notebook) Synced() <-chan struct{} { return n.synced }

// Run reads and writes until the context ends, and then writes a last time.
func (n *Notebook) Run(ctx context.Context, pupil Pupil) {
	n.pupil = pupil
	n.read(ctx)
	swept := n.now()
	for {
		select {
		case <-ctx.Done():
			n.write(context.WithoutCancel(ctx), false)
			return
		case <-time.After(gathering + rand.N(gathering)):
		}
		sweep := n.now().Sub(swept) >= sweeping
		if sweep {
			swept = n.now()
		}
		n.write(ctx, sweep)
	}
}

// read begins to follow the pages, and waits for the first sight of them.
func (n *Notebook) read(ctx context.Context) {
	defer close(n.synced)
	for _, p := range n.pages {
		p.pupil = n.pupil
		go p.follow(ctx)
	}
	limit, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, p := range n.pages {
		select {
		case <-p.seen:
		case <-limit.Done():
			n.log.Info(msgUnread, keyPage, p.name)
			return
		}
	}
}

// write brings the pages up to date with what the pupil knows.
func (n *Notebook) write(ctx context.Context, sweep bool) {
	for w, uses := range n.pupil.Changed() {
		i, _ := w.place()
		n.pages[i].want(w, uses)
	}
	bounded, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	var group sync.WaitGroup
	for _, p := range n.pages {
		group.Go(func() { p.write(bounded, n.now(), sweep) })
	}
	group.Wait()
}
