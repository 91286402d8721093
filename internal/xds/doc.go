// SPDX-License-Identifier: Apache-2.0

// Package xds serves resources to proxies over aggregated delta discovery.
//
// A publisher hands the hub resources that are already built, validated and
// marshalled, each placed into a layer. A class is an ordered list of layers;
// every connected proxy belongs to one class and sees the overlay of its
// layers, where a later layer hides an earlier layer's resource of the same
// type and name. The hub knows nothing of what the resources mean except the
// order in which a proxy must learn of them.
//
//	Publish(batch) --> layers --marks--> session (names that may differ)
//	                                        |  one goroutine per stream
//	                                        v
//	          effective version (overlay)  vs  version that the client holds
//	                                        |
//	                                        v
//	                     one response in flight per type, shared bytes
//
// A mark is only a hint that a name may differ. What is sent is decided when
// a response is built, from the newest state, so a slow reader merges changes
// and a mark too many costs nothing on the wire.
//
// Per stream and name a session keeps four bytes: the serial number of the
// version that the client acknowledged. Responses with equal content are
// marshalled once and shared by all the streams that are sent them.
//
// The protocol: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
package xds
