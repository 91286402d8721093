// SPDX-License-Identifier: Apache-2.0

package intake

// Barrier is an inbox that several readers fill. It is synced when each of them has
// handed over what existed at its start.
type Barrier struct {
	*Inbox
	synced chan struct{}
}

// NewBarrier waits for all readers of an inbox.
func NewBarrier(inbox *Inbox, readers ...<-chan struct{}) *Barrier {
	b := &Barrier{Inbox: inbox, synced: make(chan struct{})}
	go func() {
		for _, r := range readers {
			<-r
		}
		close(b.synced)
	}()
	return b
}

// Synced is closed when all that existed at the start is in the inbox.
func (b *Barrier) Synced() <-chan struct{} { return b.synced }
