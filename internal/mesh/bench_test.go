// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"testing"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// BenchmarkColdStart builds everything from nothing.
func BenchmarkColdStart(b *testing.B) {
	for _, services := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				start(b, services)
			}
		})
	}
}

// BenchmarkEndpointChange takes one pod away and gives it back.
func BenchmarkEndpointChange(b *testing.B) {
	for _, services := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			e := start(b, services)
			b.ReportAllocs()
			pods := 2
			for b.Loop() {
				pods = 3 - pods
				e.Step(intake.Batch{Slices: map[ir.ObjectKey]*ir.EndpointSlice{slice(1): sliceOf(1, pods)}}, nil)
			}
		})
	}
}
