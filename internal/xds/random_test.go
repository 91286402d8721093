// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

var (
	randomSeed   = flag.Uint64("seed", 0, "seed of the random events; 0 takes the time")
	randomEvents = flag.Int("events", 0, "number of random events; 0 takes the default")
)

// world is the random test: a publisher, clients, and what both did.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	server  *server
	clients []*proxy
	version int
}

var worldTypes = []string{ClusterType, EndpointType, ListenerType, RouteType, VirtualHostType, SecretType}

const (
	worldClasses = 4
	worldNames   = 12
)

var worldLayers = []Layer{"base", "outbound", "extra", "own0", "own1"}

// TestRandomEvents: after any sequence of publications, subscriptions,
// refusals, lost acknowledgements and reconnects, what a client holds is what
// a client that connects now is sent.
func TestRandomEvents(t *testing.T) {
	seed, events := *randomSeed, *randomEvents
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if events == 0 {
		events = 100_000
		if raceEnabled {
			events = 10_000
		}
		if testing.Short() {
			events = 2_000
		}
	}
	t.Logf("seed %d, %d events", seed, events)
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	w.server = serve(t, Options{Hold: 5 * time.Millisecond, MaxResponseBytes: 400, Unknown: unknownOf, MaxUnknown: 4, MaxLessons: 20})
	for i := range 8 {
		w.clients = append(w.clients, newProxy(w, i, fmt.Sprintf("class%d", i%worldClasses), seed))
	}
	defer func() {
		for _, p := range w.clients {
			p.stop()
		}
	}()
	for i := range worldClasses {
		w.define(i)
	}
	for i := 1; i <= events; i++ {
		w.event()
		if i%500 == 0 || i == events {
			w.check(i)
			if t.Failed() {
				return
			}
		}
	}
}

func (w *world) event() {
	switch n := w.rng.IntN(100); {
	case n < 60:
		w.publish()
	case n < 64:
		w.define(w.rng.IntN(worldClasses))
	case n < 65:
		class := w.rng.IntN(worldClasses)
		w.server.hub.Publish(Batch{DropClasses: []string{fmt.Sprintf("class%d", class)}})
		w.define(class)
	default:
		w.clients[w.rng.IntN(len(w.clients))].command(w.rng.IntN(1 << 30))
	}
}

func (w *world) name(typ string) string {
	i := w.rng.IntN(worldNames)
	switch typ {
	case RouteType:
		return fmt.Sprint("rc", i%4)
	case VirtualHostType:
		if i > 8 {
			return fmt.Sprintf("rc%d/*", i%4)
		}
		return fmt.Sprintf("rc%d/h%d", i%4, i)
	case ClusterType:
		if i == 9 {
			return restCluster
		}
		return clusterName(i)
	default:
		return fmt.Sprint("n", i)
	}
}

func (w *world) publish() {
	var b Batch
	for range 1 + w.rng.IntN(4) {
		typ := worldTypes[w.rng.IntN(len(worldTypes))]
		layer := worldLayers[w.rng.IntN(len(worldLayers))]
		name := w.name(typ)
		if w.rng.IntN(4) == 0 {
			b.Delete = append(b.Delete, Removal{layer, typ, name})
			continue
		}
		w.version++
		version := fmt.Sprint("v", w.version)
		if w.rng.IntN(12) == 0 {
			version += "bad"
		}
		r := res(typ, name, version)
		if typ == ClusterType && w.rng.IntN(2) == 0 {
			r.EDS = name
		}
		w.belong(r)
		b.Set = append(b.Set, Placement{layer, r})
	}
	w.server.hub.Publish(b)
}

func (w *world) define(i int) {
	layers := slices.Clone(worldLayers)
	w.rng.Shuffle(len(layers), func(a, b int) { layers[a], layers[b] = layers[b], layers[a] })
	w.server.hub.Publish(Batch{Classes: []Class{{Key: fmt.Sprintf("class%d", i), Layers: layers[:2+w.rng.IntN(3)], Scope: w.scope()}}})
}

// check waits until nothing is under way and compares every client with one
// that connects now and asks for the same.
func (w *world) check(event int) {
	w.t.Helper()
	for _, p := range w.clients {
		p.settle()
	}
	w.quiesce(event)
	for _, p := range w.clients {
		p.mu.Lock()
		if len(p.waiting) > 0 {
			for _, text := range sortedKeys(p.waiting) {
				w.t.Errorf("after %d events client %d has no answer to %q", event, p.id,
					w.explain(p, []string{VirtualHostType + " " + text + ":"}))
			}
		}
		p.mu.Unlock()
		fresh := newProxy(w, 100+p.id, p.class, 0)
		fresh.follow(p)
		waitFor(w.t, fresh.caughtUp)
		w.quiesce(event)
		got, want := p.state(), fresh.state()
		fresh.stop()
		if !maps.Equal(got, want) {
			w.t.Errorf("after %d events client %d differs from a fresh one:\n%s", event, p.id, strings.Join(w.explain(p, difference(got, want)), "\n"))
		}
	}
	for _, p := range w.clients {
		p.resume()
	}
}

func difference(got, want map[string]string) (diff []string) {
	for _, k := range sortedKeys(got) {
		if want[k] != got[k] {
			diff = append(diff, fmt.Sprintf("%s: has %q, should have %q", k, got[k], want[k]))
		}
	}
	for _, k := range sortedKeys(want) {
		if _, ok := got[k]; !ok {
			diff = append(diff, fmt.Sprintf("%s: has none, should have %q", k, want[k]))
		}
	}
	return diff
}

// explain adds to each difference what the hub knows of the name.
func (w *world) explain(p *proxy, diff []string) []string {
	h := w.server.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	for i, d := range diff {
		typ, rest, _ := strings.Cut(d, " ")
		text, _, _ := strings.Cut(rest, ":")
		n := h.tables[typ].byText[text]
		for _, s := range h.seats {
			if n == nil || s == nil || s.node != fmt.Sprint("node", p.id) {
				continue
			}
			l := s.lane(typ)
			diff[i] += fmt.Sprintf(" cell %d asked %v routes %v refused %v", l.held.get(n.id).serial(), l.held.get(n.id).asked(), s.routes, l.refused)
			for _, layer := range s.class.layers {
				if sh := layer.shelves[h.tables[typ]]; sh != nil && sh.entries[n.id] != nil {
					e := sh.entries[n.id]
					diff[i] += fmt.Sprintf(" %s %s/%d refused %v accepted %v good %v", layer.key, e.want.res.Version, e.want.serial, e.want.refused.Load(), e.want.accepted.Load(), e.good != nil)
				}
			}
		}
	}
	return diff
}

// quiesce waits until no session has anything in flight or pending.
func (w *world) quiesce(event int) {
	w.t.Helper()
	end := time.Now().Add(patience)
	for quiet := 0; quiet < 2; {
		if w.idle() {
			quiet++
		} else {
			quiet = 0
			time.Sleep(200 * time.Microsecond)
		}
		if time.Now().After(end) {
			w.t.Fatalf("after %d events something is still under way:\n%s", event, w.server.hub.dump())
		}
	}
}

func (w *world) idle() bool {
	for _, p := range w.clients {
		if !p.caughtUp() {
			return false
		}
	}
	return w.server.hub.dump() == ""
}

// dump shows what is under way in the sessions.
func (h *Hub) dump() string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var b strings.Builder
	for _, s := range h.seats {
		if s == nil {
			continue
		}
		s.mu.Lock()
		for _, l := range s.lanes {
			if l.flight != nil || len(l.pending.marks) > 0 || l.scanning() || len(l.suspects) > 0 || l.claims != nil {
				fmt.Fprintf(&b, "%s %s: flight %v pending %v scan %d/%d suspects %v awaited %v\n", s.node, l.table.typ, l.flight != nil, l.pending.marks, l.scanned, len(l.scan), l.suspects, s.awaited)
			}
		}
		if len(s.wake) > 0 {
			fmt.Fprintf(&b, "%s is about to wake\n", s.node)
		}
		s.mu.Unlock()
	}
	return b.String()
}

// proxy is a client that behaves as Envoy does, with accidents.
type proxy struct {
	w     *world
	id    int
	class string
	rng   *rand.Rand

	mu      sync.Mutex
	calm    bool
	stopped bool
	stream  *client
	// withheld are responses that were applied and not yet answered.
	withheld []*discovery.DeltaDiscoveryRequest
	asked    map[string]map[string]bool
	wild     map[string]bool
	// holds is what the client counts as held; applied is what it uses.
	holds   map[string]map[string]string
	applied map[string]string
	// routes are the route configurations that exist in the client: it keeps
	// a removed one until it is not asked for any more.
	routes map[string]bool
	// probe is the question whose answer settle waits for.
	probes int
	probe  string
	// waiting are the questions for hosts that no answer came to.
	waiting map[string]bool
	// domains are the other names of virtual hosts.
	domains map[string]string
}

func newProxy(w *world, id int, class string, seed uint64) *proxy {
	p := &proxy{
		w: w, id: id, class: class, rng: rand.New(rand.NewPCG(seed, uint64(id)+7)), calm: seed == 0,
		asked: map[string]map[string]bool{}, wild: map[string]bool{}, holds: map[string]map[string]string{}, applied: map[string]string{}, routes: map[string]bool{},
		waiting: map[string]bool{}, domains: map[string]string{},
	}
	for _, typ := range worldTypes {
		p.asked[typ], p.holds[typ] = map[string]bool{}, map[string]string{}
		p.wild[typ] = legacyWildcard(typ)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if seed != 0 {
		p.connect()
	}
	return p
}

// follow makes a fresh proxy ask for what another asks for.
func (p *proxy) follow(other *proxy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	other.mu.Lock()
	for typ, names := range other.asked {
		p.asked[typ] = maps.Clone(names)
	}
	p.wild = maps.Clone(other.wild)
	other.mu.Unlock()
	p.connect()
}

// connect opens a stream and asks for everything again, naming what it holds.
func (p *proxy) connect() {
	if p.stream != nil {
		p.stream.cancel()
	}
	p.withheld = nil
	p.forgetParts()
	c := p.w.server.connect(p.w.t, p.class, fmt.Sprint("node", p.id))
	p.stream = c
	for _, typ := range worldTypes {
		names := sortedKeys(p.asked[typ])
		if p.wild[typ] && len(names) > 0 {
			names = append(names, wildcard)
		}
		if len(names) == 0 && !p.wild[typ] {
			continue
		}
		p.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesSubscribe: names, InitialResourceVersions: maps.Clone(p.holds[typ])})
	}
	p.ask()
	go p.read(c)
}

// forgetParts forgets what it uses and does not count as held. Envoy goes on using it, so
// one that is cut off before it is sent the rest of what it refused can differ.
func (p *proxy) forgetParts() {
	for _, typ := range worldTypes {
		if typ == VirtualHostType {
			continue
		}
		for k := range p.applied {
			if name, ok := strings.CutPrefix(k, typ+" "); ok {
				delete(p.applied, typ+" "+name)
			}
		}
		for name, version := range p.holds[typ] {
			p.set(typ, name, version)
		}
	}
}

func (p *proxy) send(req *discovery.DeltaDiscoveryRequest) {
	req.Node = p.stream.node
	if err := p.stream.stream.Send(req); err != nil {
		p.w.t.Errorf("client %d cannot send: %v", p.id, err)
	}
}

// ask sends a question that is answered after everything before it.
func (p *proxy) ask() {
	p.probes++
	p.probe = fmt.Sprint("probe", p.probes)
	p.send(&discovery.DeltaDiscoveryRequest{TypeUrl: probeType, ResourceNamesSubscribe: []string{p.probe}})
}

func (p *proxy) caughtUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probe == ""
}

func (p *proxy) read(c *client) {
	for m := range c.got {
		p.mu.Lock()
		if p.stream == c && !p.stopped {
			p.receive(c, m)
		}
		p.mu.Unlock()
	}
}

// receive applies a response and answers it, sometimes late or never.
func (p *proxy) receive(c *client, m *discovery.DeltaDiscoveryResponse) {
	typ := m.GetTypeUrl()
	if typ == probeType {
		if slices.Contains(m.GetRemovedResources(), p.probe) {
			p.probe = ""
		}
		p.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResponseNonce: m.GetNonce()})
		return
	}
	var bad []string
	for _, r := range m.GetResources() {
		if strings.Contains(r.GetVersion(), "bad") {
			bad = append(bad, r.GetName())
		}
	}
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResponseNonce: m.GetNonce()}
	if len(bad) > 0 {
		message := "something is wrong"
		if p.rng.IntN(2) == 0 {
			message = "Error adding/updating: " + strings.Join(bad, ": no, ")
		}
		req.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: message}
		p.takePart(m, bad)
	} else {
		p.answered(m)
		for _, r := range m.GetResources() {
			p.set(typ, r.GetName(), r.GetVersion())
		}
		for _, n := range m.GetRemovedResources() {
			p.unset(typ, n)
		}
	}
	switch n := p.rng.IntN(100); {
	case p.calm || n < 70:
		p.send(req)
	case n < 97:
		p.withheld = append(p.withheld, req)
	default:
		// The answer is lost with the stream.
		p.connect()
	}
}

// takePart uses what is not bad of a response that is refused, as Envoy does, which does
// not count it as held. Hosts are refused together.
func (p *proxy) takePart(m *discovery.DeltaDiscoveryResponse, bad []string) {
	typ := m.GetTypeUrl()
	if typ == VirtualHostType {
		return
	}
	held := maps.Clone(p.holds[typ])
	for _, r := range m.GetResources() {
		if !slices.Contains(bad, r.GetName()) {
			p.set(typ, r.GetName(), r.GetVersion())
		}
	}
	for _, n := range m.GetRemovedResources() {
		p.unset(typ, n)
	}
	p.holds[typ] = held
}

func (p *proxy) set(typ, name, version string) {
	if !p.wild[typ] && !p.asked[typ][name] {
		return
	}
	p.holds[typ][name] = version
	if typ == RouteType {
		p.routes[name] = true
	}
	if typ == VirtualHostType && !p.routes[routeConfigOf(name)] {
		return // Dropped, and counted as held.
	}
	if version == absentVersion {
		delete(p.applied, typ+" "+name)
		return
	}
	p.applied[typ+" "+name] = strings.TrimSuffix(version, unsettled)
}

func (p *proxy) unset(typ, name string) {
	delete(p.holds[typ], name)
	delete(p.applied, typ+" "+name)
	if typ == RouteType && !p.asked[typ][name] {
		p.void(name)
	}
}

func (p *proxy) dropHosts(rc string) {
	for k := range p.applied {
		if strings.HasPrefix(k, VirtualHostType+" "+rc+"/") {
			delete(p.applied, k)
		}
	}
}

// command does something of the client's own accord.
func (p *proxy) command(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rng := rand.New(rand.NewPCG(uint64(n), 3))
	if rng.IntN(8) == 0 {
		p.question(rng)
		return
	}
	typ := worldTypes[rng.IntN(len(worldTypes))]
	i := rng.IntN(worldNames)
	name := fmt.Sprint("n", i)
	switch typ {
	case RouteType:
		name = fmt.Sprint("rc", i%4)
	case VirtualHostType:
		name = fmt.Sprintf("rc%d/h%d", i%4, i)
	case ClusterType:
		name = clusterName(i)
	}
	switch kind := rng.IntN(10); {
	case kind < 4 && typ != VirtualHostType:
		p.answerAll()
		if typ == RouteType && p.asked[typ][name] && rng.IntN(2) == 0 {
			// A listener goes while one comes that needs the same.
			p.unset(typ, name)
			delete(p.routes, name)
			p.dropHosts(name)
			p.void(name)
		}
		p.asked[typ][name] = true
		p.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesSubscribe: []string{name}})
	case kind < 6 && p.asked[typ][name]:
		p.answerAll() // Envoy sends answers before anything else.
		delete(p.asked[typ], name)
		delete(p.waiting, name) // no request waits any more
		if !p.wild[typ] {
			p.unset(typ, name)
		}
		if typ == RouteType {
			delete(p.routes, name)
			p.dropHosts(name)
			p.void(name)
		}
		p.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesUnsubscribe: []string{name}})
	case kind < 9:
		p.answerAll()
	default:
		p.connect()
	}
}

func (p *proxy) answerAll() {
	late := p.withheld
	p.withheld = nil
	for _, req := range late {
		p.send(req)
	}
}

func (p *proxy) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calm = true
	p.answerAll()
	p.ask()
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calm = false
}

func (p *proxy) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.stream.cancel()
}

func (p *proxy) state() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := maps.Clone(p.applied)
	for k := range p.applied {
		typ, name, _ := strings.Cut(k, " ")
		if _, ok := p.holds[RouteType][routeConfigOf(name)]; typ == VirtualHostType && !ok {
			delete(state, k)
		}
		if typ == ClusterType && isAddress(name) && !p.asked[typ][name] {
			delete(state, k) // it keeps what a new one is not told of
		}
	}
	return state
}
