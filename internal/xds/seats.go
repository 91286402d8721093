// SPDX-License-Identifier: Apache-2.0

package xds

import "math/bits"

// seats is a set of sessions, by their seat numbers in the hub.
type seats []uint64

func (s *seats) add(seat int) {
	if w := seat >> 6; w >= len(*s) {
		*s = append(*s, make([]uint64, w+1-len(*s))...)
	}
	(*s)[seat>>6] |= 1 << (seat & 63)
}

func (s *seats) remove(seat int) {
	if w := seat >> 6; w < len(*s) {
		(*s)[w] &^= 1 << (seat & 63)
	}
	for len(*s) > 0 && (*s)[len(*s)-1] == 0 {
		*s = (*s)[:len(*s)-1]
	}
	if len(*s) == 0 {
		*s = nil
	}
}

func (s seats) has(seat int) bool { w := seat >> 6; return w < len(s) && s[w]&(1<<(seat&63)) != 0 }

func (s seats) empty() bool { return len(s) == 0 }

func (s seats) each(f func(seat int)) {
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			f(w<<6 + bits.TrailingZeros64(word))
		}
	}
}
