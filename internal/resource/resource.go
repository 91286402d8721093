// SPDX-License-Identifier: Apache-2.0

// Package resource builds, checks, marshals and hashes what proxies are sent.
// Its tables are the last of the engine: one row per resource and layer, made
// once however many proxies hold it.
package resource

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/ir"
)

// The types of resources, as Envoy names them.
const (
	TypeCluster     = resourcev3.ClusterType
	TypeEndpoints   = resourcev3.EndpointType
	TypeListener    = resourcev3.ListenerType
	TypeRouteConfig = resourcev3.RouteType
	TypeVirtualHost = resourcev3.VirtualHostType
	TypeSecret      = resourcev3.SecretType
	TypeName        = "type.googleapis.com/envoy.data.dns.v3.DnsTable.DnsVirtualDomain" // for agents
	TypeExtension   = resourcev3.ExtensionConfigType
)

// Key is where a resource is.
type Key struct {
	Layer ir.Layer
	Type  string
	Name  string
}

// Compare orders by layer, type, name.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		strings.Compare(string(k.Layer), string(o.Layer)),
		strings.Compare(k.Type, o.Type),
		strings.Compare(k.Name, o.Name),
	)
}

// Resource is a finished message. Equal content gives an equal version, on every
// replica of the control plane and after every restart.
type Resource struct {
	Type    string
	Name    string
	Version string
	Body    []byte
	Origins []ir.Origin
	EDS     string // a cluster that waits for this load assignment

	// What scopes look at; see the xds package. All of it follows from the content.
	Host    string   // that it belongs to; empty: everybody's
	Part    string   // the port of the host
	Leads   bool     // makes proxies ask for what they lack
	Hidden  bool     // only for those who ask
	Needs   []string // clusters that a virtual host sends requests to
	Aliases []string // further names of a virtual host
}

// Equal compares versions: they are hashes of the content.
func (r *Resource) Equal(o *Resource) bool {
	return r.Version == o.Version && r.Name == o.Name && r.Type == o.Type
}

// message is what every generated type of Envoy offers.
type message interface {
	proto.Message
	Validate() error
}

// Finish checks a message against its own constraints and freezes it.
func Finish(typeURL, name string, m message, origins []ir.Origin) (*Resource, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%s %s: %w", typeURL[strings.LastIndexByte(typeURL, '.')+1:], name, err)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal %s: %w", name, err)
	}
	return &Resource{Type: typeURL, Name: name, Version: version(body), Body: body, Origins: origins}, nil
}

// version is a hash of the content. It tells states of one name apart; it is no
// protection against forgery, which the stream's mutual TLS is.
func version(body []byte) string {
	var b [8]byte
	sum := xxhash.Sum64(body)
	for i := range b {
		b[i] = byte(sum >> (8 * (7 - i)))
	}
	return hex.EncodeToString(b[:])
}
