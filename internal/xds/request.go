// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"unicode/utf8"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// request is a DeltaDiscoveryRequest. It is taken apart here and not by the
// protobuf library, because nearly all requests are acknowledgements, which
// need next to nothing of it, and because those that are not may be large: when
// all proxies reconnect at once, maps of thousands of names each would be most
// of the memory that the control plane ever needs.
type request struct {
	typ string
	// nonce is empty unless the request answers a response.
	nonce       []byte
	subscribe   []string
	unsubscribe []string
	claims      claims
	// refused is set for a NACK, with the client's words in detail.
	refused bool
	// node and detail are marshalled messages.
	node, detail []byte
}

// claims are names and versions that a client says to hold: a run of fields
// DeltaDiscoveryRequest.initial_resource_versions as they are on the wire.
type claims []byte

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

// receive takes the next message from a stream. An empty message, which keeps
// all fields as bytes, serves for all of them.
func receive(stream grpc.ServerStream, raw *emptypb.Empty) (request, error) {
	if err := stream.RecvMsg(raw); err != nil {
		return request{}, err
	}
	return parse(raw.ProtoReflect().GetUnknown())
}

// parse takes a message apart; the request keeps parts of raw.
func parse(raw []byte) (request, error) {
	var r request
	start := 0 // Of the claims, which are one run in what Envoy sends.
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
		switch {
		case kind != protowire.BytesType:
		case number != fieldClaims:
			value, _ := protowire.ConsumeBytes(b[tag:]) // ConsumeFieldValue has been there.
			if err := r.set(number, value); err != nil {
				return r, err
			}
		case len(r.claims) == 0:
			start, r.claims = at, raw[at:end:end]
		case start+len(r.claims) == at:
			r.claims = raw[start:end:end]
		default:
			// Not in one run: the capacity above makes this copy them.
			start, r.claims = -len(raw)-1, append(r.claims, raw[at:end]...)
		}
		at = end
	}
	return r, nil
}

// set takes in a field. A message that comes in parts is their concatenation.
func (r *request) set(number protowire.Number, value []byte) error {
	switch number {
	case fieldNode:
		if len(r.node) == 0 {
			r.node = value[:len(value):len(value)] // The next part, if there is one, makes a copy.
			return nil
		}
		r.node = append(r.node, value...)
		return nil
	case fieldDetail:
		r.refused = true
		r.detail = append(r.detail, value...)
		return nil
	case fieldType, fieldNonce, fieldSubscribe, fieldUnsubscribe:
		if !utf8.Valid(value) {
			return status.Error(codes.InvalidArgument, "malformed request: a name is not valid UTF-8")
		}
	}
	switch number {
	case fieldType:
		r.typ = typeOf(value)
	case fieldNonce:
		r.nonce = value
	case fieldSubscribe:
		r.subscribe = append(r.subscribe, string(value))
	case fieldUnsubscribe:
		r.unsubscribe = append(r.unsubscribe, string(value))
	}
	return nil
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
	detail := new(rpc.Status)
	if err := proto.Unmarshal(r.detail, detail); err != nil {
		return "", malformed(err)
	}
	return detail.GetMessage(), nil
}

// count returns the number of claims.
func (c claims) count() int {
	n := 0
	for len(c) > 0 {
		_, _, size := protowire.ConsumeField(c)
		if size < 0 {
			break
		}
		c, n = c[size:], n+1
	}
	return n
}

// each calls f for every claim. The slices are only valid during the call.
func (c claims) each(f func(name, version []byte)) {
	for len(c) > 0 {
		_, _, tag := protowire.ConsumeTag(c)
		if tag < 0 {
			return
		}
		entry, size := protowire.ConsumeBytes(c[tag:])
		if size < 0 {
			return
		}
		c = c[tag+size:]
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
	}
}
