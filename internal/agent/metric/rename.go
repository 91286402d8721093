// SPDX-License-Identifier: Apache-2.0

package metric

import "bytes"

// The mesh's request metrics come from Envoy's stats access logger with stat prefix "istio"; Envoy puts "envoy_" and that
// prefix before each name. Dashboards and canary tools know the names without them.
var (
	prefixes = [][]byte{[]byte("envoy_istio_istio_"), []byte("envoy_istio_")}
	plain    = []byte("istio_")
	typeLine = []byte("# TYPE ")
	helpLine = []byte("# HELP ")
)

// rename gives a line of Envoy's Prometheus page its public name. Other lines come back as they are.
func rename(line []byte) []byte {
	head := 0
	if bytes.HasPrefix(line, typeLine) || bytes.HasPrefix(line, helpLine) {
		head = len(typeLine)
	}
	for _, prefix := range prefixes {
		if bytes.HasPrefix(line[head:], prefix) {
			out := make([]byte, 0, len(line))
			out = append(out, line[:head]...)
			out = append(out, plain...)
			return append(out, line[head+len(prefix):]...)
		}
	}
	return line
}
