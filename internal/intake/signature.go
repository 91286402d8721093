// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
)

// signature stands for all of an object that a row is projected from. Two states of
// an object with one signature are taken for equal; by chance that happens once in
// 2^64 changes.
type signature uint64

var seed = maphash.MakeSeed()

func signed(o *Object, status []byte) signature {
	var h maphash.Hash
	h.SetSeed(seed)
	text := func(s string) {
		number(&h, int64(len(s)))
		_, _ = h.WriteString(s)
	}
	text(string(o.UID))
	number(&h, o.Generation)
	number(&h, o.CreationTimestamp.Unix())
	for _, m := range []map[string]string{o.Labels, o.Annotations} {
		number(&h, int64(len(m)))
		for _, k := range slices.Sorted(maps.Keys(m)) {
			text(k)
			text(m[k])
		}
	}
	text(string(o.Spec))
	_, _ = h.Write(status)
	return signature(h.Sum64())
}

func number(h *maphash.Hash, n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	_, _ = h.Write(b[:])
}
