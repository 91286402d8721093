// SPDX-License-Identifier: Apache-2.0

package xds

import (
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// request is a message of a client. What it claims to hold is left as it came:
// when all proxies reconnect at once, maps of thousands of names each would be
// most of the memory that the control plane ever needs.
type request struct {
	*discovery.DeltaDiscoveryRequest
	claims claims
}

// claims are names and versions that a client says to hold: a run of fields
// DeltaDiscoveryRequest.initial_resource_versions as they are on the wire.
type claims []byte

// fieldClaims is the number of initial_resource_versions in
// envoy/service/discovery/v3/discovery.proto.
const fieldClaims = 5

// receive takes the next message from a stream.
func receive(stream grpc.ServerStream) (*request, error) {
	// An empty message keeps all fields as bytes.
	raw := new(emptypb.Empty)
	if err := stream.RecvMsg(raw); err != nil {
		return nil, err
	}
	return parse(raw.ProtoReflect().GetUnknown())
}

// parse takes a message apart; it may keep parts of raw.
func parse(raw []byte) (*request, error) {
	r := &request{DeltaDiscoveryRequest: new(discovery.DeltaDiscoveryRequest)}
	var rest []byte
	start := 0 // Of the claims, which are one run in what Envoy sends.
	for at := 0; at < len(raw); {
		b := raw[at:]
		number, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return nil, status.Errorf(codes.InvalidArgument, "malformed request: %v", protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(number, kind, b[tag:])
		if size < 0 {
			return nil, status.Errorf(codes.InvalidArgument, "malformed request: %v", protowire.ParseError(size))
		}
		end := at + tag + size
		switch {
		case number != fieldClaims || kind != protowire.BytesType:
			rest = append(rest, raw[at:end]...)
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
	if err := proto.Unmarshal(rest, r.DeltaDiscoveryRequest); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "malformed request: %v", err)
	}
	return r, nil
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
