// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestMemoryLimit(t *testing.T) {
	for _, tc := range []struct {
		text  string
		limit int64
		ok    bool
	}{{"1073741800\n", 858993440, true}, {"max\n", 0, false}, {"", 0, false}, {"-1", 0, false}} {
		if limit, ok := memoryLimit(tc.text); limit != tc.limit || ok != tc.ok {
			t.Errorf("%q gives %d, %v, want %d, %v", tc.text, limit, ok, tc.limit, tc.ok)
		}
	}
}
