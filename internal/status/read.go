// SPDX-License-Identifier: Apache-2.0

package status

import (
	"encoding/json"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

// Parse reads our conditions out of an object's status, in the order in which we
// write them. Conditions of others are left out, and text that is no status reads
// as none: it is about to be written anew.
func Parse(text []byte) []Condition {
	var in struct {
		Conditions []struct {
			Type               string    `json:"type"`
			Status             string    `json:"status"`
			Reason             string    `json:"reason"`
			Message            string    `json:"message"`
			ObservedGeneration number    `json:"observedGeneration"`
			LastTransitionTime time.Time `json:"lastTransitionTime"`
		} `json:"conditions"`
	}
	if len(text) == 0 || json.Unmarshal(text, &in) != nil {
		return nil
	}
	var out []Condition
	for _, kind := range order {
		for _, c := range in.Conditions {
			if c.Type != string(kind) {
				continue
			}
			out = append(out, Condition{
				Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message,
				ObservedGeneration: int64(c.ObservedGeneration), LastTransitionTime: c.LastTransitionTime,
			})
		}
	}
	return out
}

// number is a 64-bit integer, which the JSON form of protobuf writes as a text.
type number int64

// UnmarshalJSON reads both forms.
func (n *number) UnmarshalJSON(text []byte) error {
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	return json.Unmarshal(text, (*int64)(n))
}

// FromStatus makes an Options.Current of something that knows the status of objects
// as JSON.
func FromStatus(read func(ir.Origin) []byte) func(ir.Origin) []Condition {
	return func(o ir.Origin) []Condition { return Parse(read(o)) }
}
