// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"encoding/binary"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/cespare/xxhash/v2"
)

// item is one name in a response.
type item struct {
	name *name
	// serial is what the client holds once it acknowledged the response.
	serial uint32
	// version is nil for a removal and for the answer that there is no such
	// resource.
	version *version
	// own is set when the version of a route configuration is marked as
	// unsettled.
	own bool
	// asked are the names under which the client asked for a virtual host,
	// separated by spaces; they are aliases of the answer, as Envoy demands.
	asked string
}

// response is what one or many streams are sent. It is immutable; streams
// that need the same content share it, and it is marshalled once.
type response struct {
	typ     string
	nonce   string
	items   []item
	size    int
	message *discovery.DeltaDiscoveryResponse
	// needs are the endpoints that its clusters wait for.
	needs []string

	once     sync.Once
	prepared *grpc.PreparedMsg
	err      error
}

// prepare marshals the response once for all streams.
func (r *response) prepare(stream grpc.ServerStream) (*grpc.PreparedMsg, error) {
	r.once.Do(func() {
		p := new(grpc.PreparedMsg)
		if r.err = p.Encode(stream, r.message); r.err == nil {
			r.prepared = p
		}
	})
	return r.prepared, r.err
}

// absentVersion is the version of the answer that there is no such host or cluster.
const absentVersion = "absent"

// press makes responses and finds the ones that are still in use by content.
type press struct {
	noCluster func(name string) []byte // as in Options

	mu     sync.Mutex
	inUse  map[[2]uint64][]weak.Pointer[response]
	serial atomic.Uint64
	// rooms are slices of items for large responses.
	rooms sync.Pool
}

// response returns the response with that content.
func (p *press) response(t *table, items []item) *response {
	key := contentKey(t, items)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.inUse[key] {
		if r := w.Value(); r != nil && r.typ == t.typ && equalItems(r.items, items) {
			return r
		}
	}
	items = slices.Clone(items)
	r := &response{typ: t.typ, items: items, nonce: strconv.FormatUint(p.serial.Add(1), 36)}
	r.message = messageOf(t, r.nonce, items, p.noCluster)
	r.size = proto.Size(r.message)
	if t.typ == ClusterType {
		r.needs = needs(items)
	}
	if p.inUse == nil {
		p.inUse = map[[2]uint64][]weak.Pointer[response]{}
	}
	p.inUse[key] = append(p.inUse[key], weak.Make(r))
	runtime.AddCleanup(r, p.forget, key)
	return r
}

// forget drops what the garbage collector took.
func (p *press) forget(key [2]uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.inUse[key][:0]
	for _, w := range p.inUse[key] {
		if w.Value() != nil {
			kept = append(kept, w)
		}
	}
	if len(kept) == 0 {
		delete(p.inUse, key)
	} else {
		p.inUse[key] = kept
	}
}

func contentKey(t *table, items []item) [2]uint64 {
	h := xxhash.New()
	var b [9]byte
	for _, it := range items {
		binary.LittleEndian.PutUint32(b[0:], it.name.id)
		binary.LittleEndian.PutUint32(b[4:], it.serial)
		b[8] = 0
		if it.own {
			b[8] = 1
		}
		_, _ = h.Write(b[:]) // It never fails.
		_, _ = h.WriteString(it.asked)
	}
	return [2]uint64{h.Sum64(), uint64(t.rank)<<32 | uint64(len(items))}
}

func equalItems(a, b []item) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func messageOf(t *table, nonce string, items []item, noCluster func(string) []byte) *discovery.DeltaDiscoveryResponse {
	m := &discovery.DeltaDiscoveryResponse{TypeUrl: t.typ, Nonce: nonce}
	for _, it := range items {
		switch {
		case it.version != nil && !it.own && it.asked == "":
			m.Resources = append(m.Resources, it.version.wire)
		case it.version != nil:
			m.Resources = append(m.Resources, ownWire(it))
		case it.serial == serialAbsent && t.typ == VirtualHostType:
			// Envoy takes a resource without a body as "there is no such
			// host"; a removal would leave the request hanging.
			aliases := strings.Fields(it.asked)
			if len(aliases) == 0 {
				aliases = []string{it.name.text}
			}
			m.Resources = append(m.Resources, &discovery.Resource{
				Name: it.name.text, Aliases: aliases, Version: absentVersion,
			})
		case it.serial == serialAbsent && t.typ == ClusterType && noCluster != nil:
			m.Resources = append(m.Resources, wireOf(&Resource{
				Type: t.typ, Name: it.name.text, Version: absentVersion, Body: noCluster(it.name.text),
			}))
		default:
			m.RemovedResources = append(m.RemovedResources, it.name.text)
		}
	}
	return m
}

func ownWire(it item) *discovery.Resource {
	w := wireOf(it.version.res)
	if it.own {
		w.Version += unsettled
	}
	if it.asked == "" {
		return w
	}
	// All aliases, and not only those that were asked for: requests that wait
	// for the host under another name go on as well.
	w.Aliases = append(strings.Fields(it.asked), it.version.res.Aliases...)
	slices.Sort(w.Aliases)
	w.Aliases = slices.Compact(w.Aliases)
	return w
}
