// SPDX-License-Identifier: Apache-2.0

// Package machine registers machines outside of Kubernetes: while a proxy that names a WorkloadGroup is connected, the
// machine has a WorkloadEntry.
//
// Every replica runs a Registry and knows only the streams that end at itself. What they share is the annotations of the
// entries, which they change by compare and swap: a machine that comes back belongs to the replica that saw it last, and
// the replica that it left finds that out before it says that the machine is gone.
//
//	stream opens    create the entry, or claim it: connectedAt, workloadController
//	stream ends     after a moment: disconnectedAt, unless another replica has claimed the entry
//	grace is over   delete, unless the machine is back
//
// An entry whose replica died without a word is marked as left by any other replica that has looked at it for long enough
// for its machine to have come back.
package machine
