// SPDX-License-Identifier: Apache-2.0

package ir

// Nearness is how clients prefer endpoints by where client and endpoint are. At most
// one of Distribute, Failover and Labels is set, but that Zones may have the last two;
// with none, endpoints of the client's sub-zone come first, then those of its zone, its
// region, and all others.
type Nearness struct {
	Off        bool // nothing is preferred, whatever wider settings say
	Distribute []Distribution
	Failover   []Failover
	Labels     []LabelPriority
	Depth      NearnessDepth
	Zones      *Zones
}

// Zones has the proxy decide within its region. Each place gets as much as its part of
// the endpoints can bear, and what of that a place's own clients make stays in it. Other
// regions come after, within what Labels rank.
type Zones struct {
	Least uint32 // endpoints in the client's region, with which places are told apart; at least 1
}

// NearnessDepth is down to what places are told apart.
type NearnessDepth uint8

// The depths.
const (
	DepthSubZone NearnessDepth = iota
	DepthZone
)

// LocalityPattern is a pattern of localities; an empty part stands for any.
type LocalityPattern Locality

// Covers tells whether a locality fits.
func (p LocalityPattern) Covers(l Locality) bool {
	return (p.Region == "" || p.Region == l.Region) && (p.Zone == "" || p.Zone == l.Zone) && (p.SubZone == "" || p.SubZone == l.SubZone)
}

// Distribution is where the requests of some clients go.
type Distribution struct {
	From LocalityPattern
	To   []LocalityShare // sorted by place; all other places get nothing
}

// LocalityShare is a part of the requests.
type LocalityShare struct {
	To      LocalityPattern
	Percent uint32
}

// Failover is the region that takes over from another one.
type Failover struct{ From, To string }

// LabelPriority is a label by which endpoints are preferred: those that have the
// client's value of it, or Value.
type LabelPriority struct {
	Key    string
	Value  string
	Stated bool // Value counts, not the client's
}

// Labels of which the value is not a label of the pod.
const (
	LabelNetwork = "topology.istio.io/network"
	LabelCluster = "topology.istio.io/cluster"
	LabelRegion  = "topology.kubernetes.io/region"
	LabelZone    = "topology.kubernetes.io/zone"
	LabelSubZone = "topology.istio.io/subzone"
)

// ByLabels tells whether what is preferred depends on more of the client than its locality.
func (n *Nearness) ByLabels() bool {
	for _, l := range n.Labels {
		switch {
		case l.Stated, l.Key == LabelRegion, l.Key == LabelZone, l.Key == LabelSubZone:
		default:
			return true
		}
	}
	return false
}

// ByZones tells whether the proxy tells places apart.
func (n *Nearness) ByZones() bool { return n != nil && n.Zones != nil }

// Weighted tells whether places have shares.
func (n *Nearness) Weighted() bool { return n != nil && len(n.Distribute) > 0 }
