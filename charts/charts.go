// SPDX-License-Identifier: Apache-2.0

// Package charts carries the Helm charts that the operator renders, and its
// own. They are the same files that a user installs with the helm client.
package charts

import "embed"

// Files holds the directories base, cni, controlplane and gateway, each a chart.
//
//go:embed all:base all:cni all:controlplane all:gateway
var Files embed.FS

// Operator holds the directory operator, the chart of the operator itself.
//
//go:embed all:operator
var Operator embed.FS
