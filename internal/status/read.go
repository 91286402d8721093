// SPDX-License-Identifier: Apache-2.0

package status

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

// Parse reads what is of us out of an object's status, in the order in which we write
// it. Conditions of others are left out, and text that is no status reads as none: it
// is about to be written anew.
func Parse(text []byte) Report {
	var in struct {
		Conditions []struct {
			Type               string    `json:"type"`
			Status             string    `json:"status"`
			Reason             string    `json:"reason"`
			Message            string    `json:"message"`
			ObservedGeneration number    `json:"observedGeneration"`
			LastTransitionTime time.Time `json:"lastTransitionTime"`
		} `json:"conditions"`
		Addresses []struct {
			Host  string     `json:"host"`
			Value netip.Addr `json:"value"`
		} `json:"addresses"`
		LoadBalancer struct {
			Ingress []struct {
				IP       string `json:"ip"`
				Hostname string `json:"hostname"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	}
	if len(text) == 0 || json.Unmarshal(text, &in) != nil {
		return Report{}
	}
	var out Report
	for _, kind := range order {
		for _, c := range in.Conditions {
			if c.Type != string(kind) {
				continue
			}
			out.Conditions = append(out.Conditions, Condition{
				Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message,
				ObservedGeneration: int64(c.ObservedGeneration), LastTransitionTime: c.LastTransitionTime,
			})
		}
	}
	for _, a := range in.Addresses {
		out.Addresses = append(out.Addresses, ir.HostAddress{Host: a.Host, Addr: a.Value})
	}
	for _, a := range in.LoadBalancer.Ingress {
		addr, _ := netip.ParseAddr(a.IP)
		out.Addresses = append(out.Addresses, ir.HostAddress{Host: a.Hostname, Addr: addr})
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
func FromStatus(read func(ir.Origin) []byte) func(ir.Origin) Report {
	return func(o ir.Origin) Report { return Parse(read(o)) }
}
