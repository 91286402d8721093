// SPDX-License-Identifier: Apache-2.0

// Package typed packs Envoy's typed configurations and the values that wrap them.
package typed

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshwright/meshwright/internal/ir"
)

// MetadataNamespace is the key of our filter metadata in Envoy's resources.
const MetadataNamespace = "meshwright"

// Config packs a message; equal messages give equal bytes.
// It panics on a message that cannot be marshalled, which only text that is not
// UTF-8 can cause; the engine turns that into a report on the object at fault.
func Config(m proto.Message) *anypb.Any {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(err)
	}
	return a
}

// ADS is the source of everything that comes over the proxy's own stream.
func ADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(0),
	}
}

// Address is a TCP address.
func Address(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// Duration is nil for 0.
func Duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// Origins is the metadata that names the objects a resource comes from; nil without any.
func Origins(origins []ir.Origin) *corev3.Metadata {
	if len(origins) == 0 {
		return nil
	}
	values := make([]*structpb.Value, len(origins))
	for i, o := range origins {
		values[i] = structpb.NewStringValue(o.String())
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		MetadataNamespace: {Fields: map[string]*structpb.Value{
			"origins": structpb.NewListValue(&structpb.ListValue{Values: values}),
		}},
	}}
}
