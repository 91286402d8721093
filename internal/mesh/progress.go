// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

// followPause is between two looks at how far the proxies are. Thousands of proxies
// that answer meanwhile are one look at the object.
const followPause = 250 * time.Millisecond

// follow tells status of the objects with which proxies have come further.
func (m *Mesh) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.hub.Moving():
		}
		moved := m.hub.Moved()
		objects := make([]ir.Origin, 0, len(moved))
		for _, owner := range moved {
			if o, ok := ir.ParseOrigin(owner); ok {
				objects = append(objects, o)
			}
		}
		m.options.Status.Moved(objects)
		select {
		case <-ctx.Done():
			return
		case <-time.After(followPause):
		}
	}
}

// Settled tells whether all proxies that want what became of an object have it.
func (m *Mesh) Settled(object ir.Origin) (settled bool, changes uint64) {
	return m.hub.Settled(object.String())
}

// Progress counts the proxies that have what became of an object.
func (m *Mesh) Progress(object ir.Origin) (current, all int, laggard string) {
	p := m.hub.Progress(object.String())
	return p.Current, p.Proxies, p.Laggard
}
