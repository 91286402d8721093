// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"testing"

	"github.com/meshwright/meshwright/internal/ir"
)

func TestInboxMergesByKey(t *testing.T) {
	inbox := NewInbox()
	key := ir.NodeKey{Name: "n"}
	for _, zone := range []string{"a", "b", "c"} {
		inbox.Put(func(b *Batch) { b.Nodes[key] = &ir.Node{Key: key, Locality: ir.Locality{Zone: zone}} })
	}
	inbox.Put(func(b *Batch) { b.Namespaces["gone"] = nil })
	<-inbox.Wake()
	select {
	case <-inbox.Wake():
		t.Error("four puts before a drain woke twice")
	default:
	}
	batch := inbox.Drain()
	if len(batch.Nodes) != 1 || batch.Nodes[key].Locality.Zone != "c" {
		t.Errorf("nodes = %v, want the last write", batch.Nodes)
	}
	if row, deleted := batch.Namespaces["gone"]; !deleted || row != nil {
		t.Error("a deletion was lost")
	}
	if again := inbox.Drain(); len(again.Nodes) != 0 || len(again.Namespaces) != 0 {
		t.Errorf("drained twice: %+v", again)
	}
}

func TestPutAfterDrainWakesAgain(t *testing.T) {
	inbox := NewInbox()
	inbox.Put(func(b *Batch) { b.Namespaces["a"] = &ir.Namespace{Name: "a"} })
	<-inbox.Wake()
	inbox.Drain()
	inbox.Put(func(b *Batch) { b.Namespaces["b"] = &ir.Namespace{Name: "b"} })
	select {
	case <-inbox.Wake():
	default:
		t.Error("no wake-up for a change after a drain")
	}
}
