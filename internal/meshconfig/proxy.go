// SPDX-License-Identifier: Apache-2.0

package meshconfig

import (
	"fmt"
	"slices"
	"strings"
)

// Normalizations of paths. NormalizeDefault is NormalizeBase.
const (
	NormalizeDefault               = "DEFAULT"
	NormalizeNone                  = "NONE"
	NormalizeBase                  = "BASE"
	NormalizeMergeSlashes          = "MERGE_SLASHES"
	NormalizeDecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES"
)

// PathNormalization has one of the normalizations; empty means NormalizeDefault.
type PathNormalization struct {
	Normalization string `json:"normalization,omitempty"`
}

func (p PathNormalization) check(at string) []error {
	return oneOf(at+".normalization", p.Normalization,
		NormalizeDefault, NormalizeNone, NormalizeBase, NormalizeMergeSlashes, NormalizeDecodeAndMergeSlashes)
}

func oneOf(at, value string, values ...string) []error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return []error{fmt.Errorf("%s: %q is none of %s", at, value, strings.Join(values, ", "))}
}
