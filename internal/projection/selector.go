// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"strings"

	"github.com/meshwright/meshwright/internal/ir"
)

// workloadSelector tells whether the labels can be those of a workload.
func workloadSelector(n *notes, at path, labels ir.Labels) bool {
	before := n.errors()
	for _, l := range labels {
		switch {
		case l.Key == "":
			n.invalid(at, "a label must have a key")
		case strings.Contains(l.Key, "*"), strings.Contains(l.Value, "*"):
			n.invalid(at.key(l.Key), "must not contain wildcards")
		}
	}
	return n.errors() == before
}
