// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// Client is the proxies that an assignment is for, as far as they prefer endpoints
// by where they are.
type Client struct {
	Layer    ir.Layer // where the assignment is
	Known    bool     // false: they may be anywhere
	Locality ir.Locality
	Network  string
	Cluster  string
	Labels   ir.Labels
}

// placeKey is a locality in which a namespace has sidecars.
type placeKey struct {
	Namespace string
	Locality  ir.Locality
}

func (k placeKey) Compare(o placeKey) int {
	return cmp.Or(strings.Compare(k.Namespace, o.Namespace), k.Locality.Compare(o.Locality))
}

// deriveNearness decides for which clusters endpoints are preferred by place. Only
// for those there are assignments by locality, or by class; all others share one.
func (m *Model) deriveNearness(g *graph.Graph) {
	places := graph.NewIndex(g, "classes.byPlace", m.Classes.Table(), placeKey.Compare,
		func(_ string, c *ir.Class) []placeKey {
			if c.Role != ir.RoleSidecar || c.Locality == (ir.Locality{}) {
				return nil
			}
			return []placeKey{{c.Namespace, c.Locality}}
		}).Keys()
	m.places = graph.NewIndex(g, "places.byNamespace", places, strings.Compare,
		func(k placeKey, _ struct{}) []string { return []string{"", k.Namespace} })
	m.sidecars = graph.NewIndex(g, "classes.sidecars", m.Classes.Table(), One.Compare,
		func(_ string, c *ir.Class) []One {
			if c.Role != ir.RoleSidecar {
				return nil
			}
			return []One{{}}
		})
	m.nearness = graph.Derive(g, "nearness", m.Targets, TargetKey.Compare, m.near)
}

// near is what is preferred for a cluster: what policies say, else the host, else the
// mesh. What policies and the mesh say needs outlier detection, which notices that near
// endpoints fail; shares and zones do not, and what the host says leaves it to readiness.
func (m *Model) near(c *graph.Ctx, k TargetKey, t *Target, emit func(TargetKey, *ir.Nearness)) {
	mesh, ok := m.settings(c)
	if !ok || t.Discovery != ir.DiscoverEDS {
		return
	}
	s := m.settingsOf(c, k, t)
	near, guarded := s.LoadBalancer.Near, s.Outliers != nil
	switch {
	case near != nil:
		guarded = guarded || near.Weighted() || near.ByZones()
	case t.Near != nil:
		near, guarded = t.Near, true
	case mesh.NearByZones != nil && !s.LoadBalancer.NotByZones:
		near, guarded = mesh.NearByZones, true
	default:
		near = mesh.Near
	}
	if near != nil && !near.Off && guarded && s.LoadBalancer.Balance != ir.BalancePassthrough {
		emit(k, near)
	}
}

// nearFor is what is preferred for a cluster, nil for nothing.
func (m *Model) nearFor(c *graph.Ctx, k TargetKey, t *Target) *ir.Nearness {
	table := m.nearness
	if t.Gateway {
		table = m.gatewayNearness
	}
	near, _ := graph.Get(c, table, k)
	return near
}

// Near is what is preferred for a cluster and for whom there are assignments.
func (m *Model) Near(c *graph.Ctx, k TargetKey, t *Target) (*ir.Nearness, []Client) {
	near := m.nearFor(c, k, t)
	key, single := strings.CutPrefix(string(k.Layer), string(ir.ClassLayer("")))
	switch {
	case near == nil:
		return nil, []Client{{Layer: k.Layer}}
	case single:
		class, ok := graph.Get(c, m.Classes.Table(), key)
		if !ok {
			return near, nil
		}
		return near, []Client{clientOf(k.Layer, class)}
	case near.ByLabels():
		return near, append(m.classClients(c, k), Client{Layer: k.Layer})
	}
	namespace := strings.TrimPrefix(string(k.Layer), string(ir.NamespaceLayer("")))
	if k.Layer == ir.LayerMesh {
		namespace = ""
	}
	out := []Client{{Layer: k.Layer}}
	for p := range graph.Each(c, m.places, namespace) {
		out = append(out, Client{Layer: ir.LocalityLayer(k.Layer, p.Locality), Known: true, Locality: p.Locality})
	}
	slices.SortFunc(out, func(a, b Client) int { return cmp.Compare(a.Layer, b.Layer) })
	return near, slices.CompactFunc(out, func(a, b Client) bool { return a.Layer == b.Layer })
}

// classClients is every class of sidecars that sees a cluster of a shared layer.
func (m *Model) classClients(c *graph.Ctx, k TargetKey) []Client {
	var out []Client
	for key, class := range graph.Each(c, m.sidecars, One{}) {
		if m.viewOf(c, viewer{namespace: class.Namespace, class: key}, k.Cluster.Host).layer() == k.Layer {
			out = append(out, clientOf(ir.ClassLayer(key), class))
		}
	}
	return out
}

func clientOf(l ir.Layer, class *ir.Class) Client {
	return Client{Layer: l, Known: true, Locality: class.Locality, Network: class.Network, Cluster: class.Cluster, Labels: class.Labels}
}

// priority is the place of an endpoint in the order of preference, 0 being the first.
func priority(near *ir.Nearness, who *Client, b *ir.Backend) uint32 {
	switch {
	case near == nil || near.Weighted() || !who.Known:
		return 0
	case near.ByZones():
		return labelRank(near, who, b)*regionRanks + regionRank(near, who, b)
	case len(near.Labels) > 0:
		return labelRank(near, who, b)
	case who.Locality == (ir.Locality{}):
		return 0
	case b.Locality.Region != who.Locality.Region:
		return 2 + regionRank(near, who, b)
	case b.Locality.Zone != who.Locality.Zone:
		return 2
	case b.Locality.SubZone != who.Locality.SubZone && near.Depth == ir.DepthSubZone:
		return 1
	}
	return 0
}

// labelRank is 0 for endpoints that have all labels, else how many are left from the
// first on that they do not have.
func labelRank(near *ir.Nearness, who *Client, b *ir.Backend) uint32 {
	own := traits{who.Locality, who.Network, who.Cluster, who.Labels}
	its := traits{b.Locality, b.Network, b.Cluster, b.Labels}
	for i, l := range near.Labels {
		want := l.Value
		if !l.Stated {
			want = own.value(l.Key)
		}
		if its.value(l.Key) != want {
			return uint32(len(near.Labels) - i)
		}
	}
	return 0
}

// regionRanks is how many ranks regions have.
const regionRanks = 3

// regionRank is 0 for the client's region, 1 for the one that takes over from it, which
// is any unless it is said, and 2 for all others.
func regionRank(near *ir.Nearness, who *Client, b *ir.Backend) uint32 {
	if who.Locality == (ir.Locality{}) || b.Locality.Region == who.Locality.Region {
		return 0
	}
	for _, f := range near.Failover {
		if f.From == who.Locality.Region && f.To != b.Locality.Region {
			return 2
		}
	}
	return 1
}

// traits is what of a client and of an endpoint is compared.
type traits struct {
	where            ir.Locality
	network, cluster string
	labels           ir.Labels
}

func (t *traits) value(key string) string {
	own, _ := t.labels.Get(key)
	switch key {
	case ir.LabelNetwork:
		return t.network
	case ir.LabelCluster:
		return cmp.Or(own, t.cluster)
	case ir.LabelRegion:
		return t.where.Region
	case ir.LabelZone:
		return t.where.Zone
	case ir.LabelSubZone:
		return t.where.SubZone
	}
	return own
}

// weighPlaces gives places their shares: those of the first distribution for clients like
// this one, else by the number of endpoints. Places without a share are left out, as
// long as one that has a share has an endpoint.
func weighPlaces(near *ir.Nearness, who *Client, places []ir.LocalityEndpoints) []ir.LocalityEndpoints {
	for i := range places {
		places[i].Weight = uint32(len(places[i].Endpoints))
	}
	i := slices.IndexFunc(near.Distribute, func(d ir.Distribution) bool { return who.Known && d.From.Covers(who.Locality) })
	if i < 0 || who.Locality == (ir.Locality{}) {
		return places
	}
	to := near.Distribute[i].To
	share := func(l ir.Locality) int {
		return slices.IndexFunc(to, func(s ir.LocalityShare) bool { return s.Percent > 0 && s.To.Covers(l) })
	}
	endpoints := make([]int, len(to))
	for i := range places {
		if s := share(places[i].Locality); s >= 0 {
			endpoints[s] += len(places[i].Endpoints)
		}
	}
	var out []ir.LocalityEndpoints
	for _, p := range places {
		if s := share(p.Locality); s >= 0 {
			p.Weight = max(1, to[s].Percent*shareUnit*uint32(len(p.Endpoints))/uint32(endpoints[s]))
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return places
	}
	return out
}

// shareUnit is what one percent weighs, so that it can be divided between places.
const shareUnit = 100

// closeGaps makes priorities follow one another: Envoy takes no gaps.
func closeGaps(places []ir.LocalityEndpoints) {
	next, last := uint32(0), uint32(0)
	for i := range places { // sorted by priority
		if i > 0 && places[i].Priority != last {
			next++
		}
		last, places[i].Priority = places[i].Priority, next
	}
}
