// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"unicode/utf8"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// request is a DeltaDiscoveryRequest, valid until its frame is done. It is taken apart here and not by the protobuf library, because
// nearly all requests are acknowledgements, which need next to nothing of it,
// and because those that are not may be large: when all proxies reconnect at
// once, maps and lists of thousands of names each would be most of the memory
// that the control plane ever needs.
type request struct {
	typ string
	// nonce is empty unless the request answers a response.
	nonce                  []byte
	subscribe, unsubscribe names
	claims                 claims
	// node is a marshalled message.
	node []byte
	// refused is set for a NACK; detail has the client's words, a field as it is
	// on the wire.
	refused bool
	detail  run
}

// run is a run of fields of one number as they are on the wire.
type run []byte

// names are names of resources: fields resource_names_subscribe or
// resource_names_unsubscribe.
type names run

// claims are names and versions that a client says to hold: fields
// initial_resource_versions.
type claims run

// The fields of DeltaDiscoveryRequest in envoy/service/discovery/v3/discovery.proto.
const (
	fieldNode        = 1
	fieldType        = 2
	fieldSubscribe   = 3
	fieldUnsubscribe = 4
	fieldClaims      = 5
	fieldNonce       = 6
	fieldDetail      = 7
)

// part is what belongs together of a message: a piece of it, or, when the
// message has it in several pieces, a copy.
type part struct {
	bytes []byte
	// end is where in the message the piece ends, negative for a copy.
	end int
}

func (p *part) add(raw []byte, from, to int) {
	switch {
	case len(p.bytes) == 0:
		p.bytes, p.end = raw[from:to:to], to
	case p.end == from:
		p.bytes, p.end = raw[from-len(p.bytes):to:to], to
	default:
		// The capacity above makes the first of these a copy.
		p.bytes, p.end = append(p.bytes, raw[from:to]...), -1
	}
}

// parse takes a message apart; the request keeps parts of raw. Of a message
// field that comes twice the concatenation counts, of others the last.
func parse(raw []byte) (request, error) {
	var r request
	var parts [fieldDetail + 1]part
	for at := 0; at < len(raw); {
		b := raw[at:]
		number, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return r, malformed(protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(number, kind, b[tag:])
		if size < 0 {
			return r, malformed(protowire.ParseError(size))
		}
		end := at + tag + size
		if kind == protowire.BytesType && number <= fieldDetail {
			value, _ := protowire.ConsumeBytes(b[tag:]) // ConsumeFieldValue has been there.
			switch number {
			case fieldNode:
				parts[number].add(raw, end-len(value), end)
			case fieldSubscribe, fieldUnsubscribe, fieldClaims, fieldDetail:
				parts[number].add(raw, at, end)
			case fieldType:
				r.typ = typeOf(value)
			case fieldNonce:
				r.nonce = value
			}
			if number != fieldNode && number != fieldDetail && number != fieldClaims && !utf8.Valid(value) {
				return r, status.Error(codes.InvalidArgument, "malformed request: a name is not valid UTF-8")
			}
		}
		at = end
	}
	r.node, r.detail = parts[fieldNode].bytes, parts[fieldDetail].bytes
	r.subscribe, r.unsubscribe = parts[fieldSubscribe].bytes, parts[fieldUnsubscribe].bytes
	r.claims, r.refused = parts[fieldClaims].bytes, len(r.detail) > 0
	return r, nil
}

func malformed(err error) error {
	return status.Errorf(codes.InvalidArgument, "malformed request: %v", err)
}

// typeOf is a type URL as a string, without a copy for the usual ones.
func typeOf(b []byte) string {
	for _, typ := range [...]string{EndpointType, ClusterType, VirtualHostType, RouteType, ListenerType, SecretType, ExtensionConfigType} {
		if string(b) == typ {
			return typ
		}
	}
	return string(b)
}

// client is the node of the request, without an id when there is none.
func (r *request) client() (*core.Node, error) {
	node := new(core.Node)
	if err := proto.Unmarshal(r.node, node); err != nil {
		return nil, malformed(err)
	}
	return node, nil
}

// message is what the client says of its refusal.
func (r *request) message() (string, error) {
	m := new(discovery.DeltaDiscoveryRequest)
	if err := proto.Unmarshal(r.detail, m); err != nil {
		return "", malformed(err)
	}
	return m.GetErrorDetail().GetMessage(), nil
}

// each calls f for every field's value. The slices are only valid during the call.
func (r run) each(f func(value []byte)) {
	for len(r) > 0 {
		_, _, tag := protowire.ConsumeTag(r)
		if tag < 0 {
			return
		}
		value, size := protowire.ConsumeBytes(r[tag:])
		if size < 0 {
			return
		}
		f(value)
		r = r[tag+size:]
	}
}

// count returns the number of fields.
func (r run) count() int {
	n := 0
	r.each(func([]byte) { n++ })
	return n
}

func (n names) each(f func(name []byte)) { run(n).each(f) }

func (n names) count() int { return run(n).count() }

// has tells whether a name is among the names.
func (n names) has(text string) bool {
	found := false
	n.each(func(name []byte) { found = found || string(name) == text })
	return found
}

func (c claims) count() int { return run(c).count() }

// each calls f for every claim. The slices are only valid during the call.
func (c claims) each(f func(name, version []byte)) {
	run(c).each(func(entry []byte) {
		var fields [3][]byte
		for len(entry) > 0 {
			number, kind, tag := protowire.ConsumeTag(entry)
			if tag < 0 {
				break
			}
			value := protowire.ConsumeFieldValue(number, kind, entry[tag:])
			if value < 0 {
				break
			}
			if number < 3 && kind == protowire.BytesType {
				fields[number], _ = protowire.ConsumeBytes(entry[tag:])
			}
			entry = entry[tag+value:]
		}
		f(fields[1], fields[2])
	})
}
