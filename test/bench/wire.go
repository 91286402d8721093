// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"sync"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// kind is a resource type as an index.
type kind int

const (
	clusters kind = iota
	endpoints
	listeners
	routes
	hosts
	kinds // how many there are
)

var typeURLs = [kinds]string{
	clusters:  "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	listeners: "type.googleapis.com/envoy.config.listener.v3.Listener",
	routes:    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
	hosts:     "type.googleapis.com/envoy.config.route.v3.VirtualHost",
}

// dictionary numbers texts from 1, because hundreds of clients hold the same
// thousands of names and versions.
type dictionary struct {
	mu    sync.RWMutex
	ids   map[string]uint32
	texts []string
}

func newDictionary() *dictionary { return &dictionary{ids: map[string]uint32{}, texts: []string{""}} }

func (d *dictionary) id(text []byte) uint32 {
	d.mu.RLock()
	id := d.ids[string(text)]
	d.mu.RUnlock()
	if id != 0 {
		return id
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if id := d.ids[string(text)]; id != 0 {
		return id
	}
	id = uint32(len(d.texts))
	d.texts = append(d.texts, string(text))
	d.ids[d.texts[id]] = id
	return id
}

func (d *dictionary) text(id uint32) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.texts[id]
}

// response is a DeltaDiscoveryResponse as far as a client here looks at it. It
// is read without a message being made, so that the clients take as little as
// they can of the machine that they share with what they measure.
type response struct {
	kind      kind
	nonce     string
	resources []resource
	removed   []uint32
	buffer    mem.Buffer
}

// resource has the name and the version by the fleet's dictionaries. The body
// is only valid until the response is freed.
type resource struct {
	name, version uint32
	body          []byte
}

func (r *response) free() {
	r.buffer.Free()
	r.buffer = nil
}

// marshalled is a request that is marshalled already.
type marshalled []byte

// codec marshals requests and reads responses.
type codec struct{ fleet *fleet }

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(marshalled); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	b, err := proto.Marshal(v.(*discovery.DeltaDiscoveryRequest))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r := v.(*response)
	r.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return r.parse(c.fleet, r.buffer.ReadOnlyData())
}

// The fields of DeltaDiscoveryResponse and Resource in
// envoy/service/discovery/v3/discovery.proto, and of google.protobuf.Any.
const (
	responseResources, responseType, responseNonce, responseRemoved = 2, 4, 5, 6

	resourceVersion, resourceAny, resourceName = 1, 2, 3

	anyValue = 2
)

func (r *response) parse(f *fleet, b []byte) error {
	r.kind, r.nonce, r.resources, r.removed = kinds, "", r.resources[:0], r.removed[:0]
	err := fields(b, func(number protowire.Number, value []byte) {
		switch number {
		case responseType:
			r.kind = kind(slices.Index(typeURLs[:], string(value)))
		case responseNonce:
			r.nonce = string(value)
		case responseRemoved:
			r.removed = append(r.removed, f.names.id(value))
		case responseResources:
			var res resource
			_ = fields(value, func(number protowire.Number, value []byte) { // It was walked over before.
				switch number {
				case resourceVersion:
					res.version = f.versions.id(value)
				case resourceName:
					res.name = f.names.id(value)
				case resourceAny:
					_ = fields(value, func(number protowire.Number, value []byte) {
						if number == anyValue {
							res.body = value
						}
					})
				}
			})
			r.resources = append(r.resources, res)
		}
	})
	if err == nil && (r.kind < 0 || r.kind == kinds) {
		err = fmt.Errorf("a response of a type that was not asked for")
	}
	return err
}

// fields calls f for every field of a message that has a length.
func fields(b []byte, f func(number protowire.Number, value []byte)) error {
	for len(b) > 0 {
		number, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(number, typ, b[tag:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if typ == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[tag:])
			f(number, value)
		}
		b = b[tag+size:]
	}
	return nil
}
