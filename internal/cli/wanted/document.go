// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"bufio"
	"bytes"
	"strings"
)

func newReader(data []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(data)) }

// empty says whether a document is only comments and separators.
func empty(document []byte) bool {
	for line := range strings.Lines(string(document)) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}
