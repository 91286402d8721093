// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/report"
)

const (
	// maxShared and maxSharedMessage bound what one replica tells the others.
	maxShared        = 64
	maxSharedMessage = 512
)

// Refusals is what proxies of this replica refuse now, sorted and bounded.
func (a *Aggregator) Refusals() []report.Refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []report.Refusal
	for resource, objects := range a.rejected {
		for key := range objects {
			message := a.objects[key].rejections[resource]
			if len(message) > maxSharedMessage {
				message = strings.ToValidUTF8(message[:maxSharedMessage], "")
			}
			out = append(out, report.Refusal{Object: key.String(), Resource: resource, Proxy: a.refusers[resource], Message: message})
		}
	}
	slices.SortFunc(out, func(x, y report.Refusal) int {
		return cmp.Or(strings.Compare(x.Object, y.Object), strings.Compare(x.Resource, y.Resource))
	})
	return out[:min(len(out), maxShared)]
}

// Refused receives after Refusals became different.
func (a *Aggregator) Refused() <-chan struct{} { return a.refused }

// Peers takes all that proxies of other replicas refuse now.
func (a *Aggregator) Peers(all []report.Refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := map[ir.Origin]map[string]string{}
	for _, r := range all {
		key, ok := ir.ParseOrigin(r.Object)
		if !ok || len(next[key]) >= maxRejections {
			continue
		}
		if next[key] == nil {
			next[key] = map[string]string{}
		}
		next[key][r.Resource] = r.Message
	}
	for key := range a.shunned {
		if o := a.objects[key]; o != nil && next[key] == nil {
			o.peers = nil
			a.touch(key)
		}
	}
	a.shunned = map[ir.Origin]struct{}{}
	for key, refused := range next {
		if o := a.objects[key]; o != nil {
			o.peers = refused
			a.shunned[key] = struct{}{}
			a.touch(key)
		}
	}
	a.signal()
}

// shared tells that Refusals became different; the lock is held.
func (a *Aggregator) shared() {
	select {
	case a.refused <- struct{}{}:
	default: // a wake-up is on its way already
	}
}
