// SPDX-License-Identifier: Apache-2.0

package xds

import "sync/atomic"

// Log messages and keys.
const (
	msgRejected     = "proxy refused a resource"
	msgStreamEnded  = "discovery stream ended"
	msgUnknown      = "no host was made for one that does not exist"
	msgTooManyTypes = "resource not published: too many resource types"

	keyClass   = "class"
	keyNode    = "node"
	keyType    = "type"
	keyName    = "name"
	keyVersion = "version"
	keyMessage = "message"
	keyError   = "error"
)

type counters struct {
	streams, responses, bytes, nacks atomic.Uint64
}

// Stats are counts for metrics. The first group are present values, the
// second totals since the start.
type Stats struct {
	Sessions, Classes, Layers, Names int
	// Streams opened, responses and their bytes sent, responses refused.
	Streams, Responses, Bytes, NACKs uint64
}

// Stats returns the present counts.
func (h *Hub) Stats() Stats {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := Stats{
		Sessions:  len(h.seats) - len(h.vacant),
		Classes:   len(h.classes),
		Layers:    len(h.layers),
		Streams:   h.stats.streams.Load(),
		Responses: h.stats.responses.Load(),
		Bytes:     h.stats.bytes.Load(),
		NACKs:     h.stats.nacks.Load(),
	}
	for _, t := range h.tables {
		s.Names += len(t.byText)
	}
	return s
}

func (h *Hub) count(r *response) {
	h.stats.responses.Add(1)
	h.stats.bytes.Add(uint64(r.size))
}
