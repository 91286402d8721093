// SPDX-License-Identifier: Apache-2.0

package status

import (
	"net/netip"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// An object that is deleted and made anew as it was has no status, whatever was written
// to the one before, and whether or not anything looked in between.
func TestObjectsThatAreMadeAnewAreWritten(t *testing.T) {
	ingress := ir.Origin{Kind: "Ingress", Namespace: "shop", Name: "web"}
	for _, missed := range []bool{false, true} {
		inBubble(t, Options{}, func(t *testing.T, a *Aggregator, w *recorder) {
			for _, uid := range []string{"first", "second"} {
				status := intake.ConfigStatus{UID: uid, Generation: 1}
				a.Projected(map[ir.Origin]intake.ConfigStatus{route: status, ingress: status})
				a.Allocated(map[ir.Origin]*ir.Allocated{ingress: {Addresses: []ir.HostAddress{{Addr: netip.MustParseAddr("192.0.2.1")}}}})
				a.Problems(nil)
				time.Sleep(time.Minute)
				if got := w.take(); len(got) != 2 {
					t.Errorf("the %s, deleted unseen: %v: written %v", uid, missed, got)
				}
				if !missed {
					a.Projected(map[ir.Origin]intake.ConfigStatus{route: {Deleted: true}, ingress: {Deleted: true}})
					a.Problems(nil)
				}
			}
		})
	}
}
