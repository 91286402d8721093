// SPDX-License-Identifier: Apache-2.0

package report

// Board is the ConfigMap in a control plane's namespace in which the replicas of all revisions there write what proxies
// refuse: each its own note, as JSON, in a key of its own. The first that has something to say makes it.
const Board = "meshwright-refusals"

// Note is what one replica writes.
type Note struct {
	// Renewed makes the text differ from time to time; nobody compares clocks.
	Renewed string `json:"renewed"`
	// Revision is the replica's.
	Revision string    `json:"revision,omitempty"`
	Refusals []Refusal `json:"refusals"`
}

// Refusal is that a proxy refused a resource that an object made.
type Refusal struct {
	Object   string `json:"object"` // KIND NAMESPACE/NAME and what follows, as ir.Origin writes it
	Resource string `json:"resource"`
	// Proxy is the node of one that refused it.
	Proxy   string `json:"proxy,omitempty"`
	Message string `json:"message"`
}
