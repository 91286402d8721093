// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"
)

// MeshGateway is the reserved name that binds routes to the sidecars.
const MeshGateway = "mesh"

// Routes is ordered lists of rules for some hosts. It is what a VirtualService
// projects into, and what an HTTPRoute can project into.
type Routes struct {
	Origin   Origin
	Created  int64       // seconds since the epoch
	Hosts    []string    // fully qualified or wildcards "*.SUFFIX" or "*"; none: others delegate to it
	Mesh     bool        // bound to the sidecars
	Gateways []ConfigKey // bound to these gateways, sorted
	ExportTo Visibility
	HTTP     []Rule
	TLS      []StreamRule // for TLS that is carried as it is
	TCP      []StreamRule // for all other bytes
}

// Named iterates over every destination that the rules name, copies included.
func (r *Routes) Named() iter.Seq[*Destination] {
	return func(yield func(*Destination) bool) {
		for i := range r.HTTP {
			for j := range r.HTTP[i].Destinations {
				if !yield(&r.HTTP[i].Destinations[j]) {
					return
				}
			}
			for j := range r.HTTP[i].Mirrors {
				if !yield(&r.HTTP[i].Mirrors[j].To) {
					return
				}
			}
		}
		for d := range r.Carried() {
			if !yield(d) {
				return
			}
		}
	}
}

// Carried is the destinations of rules for bytes.
func (r *Routes) Carried() iter.Seq[*Destination] {
	return func(yield func(*Destination) bool) {
		for _, rules := range [][]StreamRule{r.TLS, r.TCP} {
			for i := range rules {
				for j := range rules[i].Destinations {
					if !yield(&rules[i].Destinations[j]) {
						return
					}
				}
			}
		}
	}
}

// Origins is the object and those that it delegates to.
func (r *Routes) Origins() []Origin {
	out := []Origin{r.Origin}
	for i := range r.HTTP {
		if o := r.HTTP[i].Origin.Object(); !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return out
}

// Visibility says which namespaces see an object.
type Visibility struct {
	All        bool
	Namespaces []string // sorted; used when All is false
}

// Sees tells whether a namespace sees the object.
func (v Visibility) Sees(namespace string) bool {
	if v.All {
		return true
	}
	for _, n := range v.Namespaces {
		if n == namespace {
			return true
		}
	}
	return false
}

// Rule is what happens to a request: the first rule of which one match fits decides.
type Rule struct {
	Origin  Origin
	Name    string  // the user's name for the rule, if any
	Matches []Match // any of them; none matches everything

	Delegate *ConfigKey // the routes whose rules stand in place of this one; nil: it acts itself

	Destinations []Destination // where to; empty when Direct, Redirect or Delegate is set
	Direct       *Direct       // answer without an upstream: set for a rule that could not be understood
	Mirrors      []Mirror      // who gets copies
	Redirect     *Redirect     // answer with another URL
	Timeout      time.Duration // 0: none
	Retry        *Retry        // nil: the mesh's default
	Handling
}

// Direct is an answer that the proxy gives itself.
type Direct struct {
	Status uint32
	Body   string
}

// Match is a conjunction.
type Match struct {
	Path           *StringMatch
	Headers        []HeaderMatch // sorted by name; claims of the request's token among them
	Query          []QueryMatch  // sorted by name
	StatPrefix     string        // Envoy counts what matches under this name; "": it does not
	PathIgnoreCase bool
	Place
}

// Place is the proxies and the port at which a match can hold at all. Proxies are
// not told: they hold the matches that are for them.
type Place struct {
	Port        uint16      // that clients call, as users see it; 0: any
	Namespace   string      // of the proxy; "": any
	Labels      Labels      // that the proxy has
	Gateways    []ConfigKey // only on these gateways, when GatewaysSet
	Mesh        bool        // also in the sidecars, when GatewaysSet
	GatewaysSet bool        // the match names its gateways
}

// InSidecars tells whether a match can hold in the sidecars.
func (p *Place) InSidecars() bool { return !p.GatewaysSet || p.Mesh }

// TakesFromSidecars tells whether a match can take requests in the sidecars, where no
// request has claims.
func (m *Match) TakesFromSidecars() bool { return m.InSidecars() && !m.needsClaims() }

// OnGateway tells whether a match can hold on a gateway.
func (p *Place) OnGateway(gateway ConfigKey) bool {
	return !p.GatewaysSet || slices.Contains(p.Gateways, gateway)
}

// StringKind is how a text is compared.
type StringKind uint8

// The comparisons. MatchRegex is RE2 over the whole text.
const (
	MatchExact StringKind = iota
	MatchPrefix
	MatchRegex
	MatchPresent // headers and parameters only: any value
)

// StringMatch compares a text.
type StringMatch struct {
	Kind  StringKind
	Value string
}

// HeaderMatch compares a request header. ":method" and ":authority" and ":scheme" are headers too.
type HeaderMatch struct {
	Name   string // lower case, or of a claim
	Match  StringMatch
	Invert bool
}

// Compare orders by name, those that must fit first.
func (h HeaderMatch) Compare(o HeaderMatch) int {
	if c := strings.Compare(h.Name, o.Name); c != 0 {
		return c
	}
	if h.Invert != o.Invert {
		if o.Invert {
			return -1
		}
		return 1
	}
	return cmp.Or(strings.Compare(h.Match.Value, o.Match.Value), cmp.Compare(h.Match.Kind, o.Match.Kind))
}

// QueryMatch compares a parameter of the request's URL.
type QueryMatch struct {
	Name  string
	Match StringMatch
}

// Destination is one weighted target of a rule.
type Destination struct {
	Host   string // fully qualified
	Port   uint16 // 0: the only port of the host, or the port of the request
	Subset string
	Weight uint32 // of the sum over the rule; a single destination has 100

	Headers   *Headers // edited for this destination only, before those of the rule
	Authority string   // that this destination sees; "" keeps the rule's
}

// Retry says when a failed attempt is made again.
type Retry struct {
	Attempts      uint32
	PerTryTimeout time.Duration // 0: none
	On            string        // Envoy's retry_on list
	StatusCodes   []uint32      // sorted; with "retriable-status-codes"
	Backoff       time.Duration // least time before the second attempt; 0: Envoy's 25 ms
	SameHosts     bool          // hosts that were tried may be tried again
	Remote        bool          // prefer localities that were not tried
}
