// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshwright/meshwright/internal/ir"
)

// The node metadata of machines.
const (
	// MetadataGroup names the WorkloadGroup that a machine belongs to.
	MetadataGroup = "AUTO_REGISTER_GROUP"
	// MetadataProbed is "true" when the machine's agent tells of the workload's health.
	MetadataProbed = "WORKLOAD_PROBED"
	// MetadataStream is "agent" on the streams of the agent itself: they do not make a machine present.
	MetadataStream = "STREAM"
)

// Machine is what a proxy says of the machine that it runs on.
type Machine struct {
	Entry    ir.ConfigKey // its WorkloadEntry
	Group    ir.ConfigKey
	Account  string
	Addr     netip.Addr
	Network  string
	Locality string // REGION/ZONE/SUBZONE; empty: the group's
	Probed   bool
}

// Of reads a node; nil is a proxy that is not on a machine. The namespace and the service account are those of the
// proxy's certificate, which was checked before.
func Of(node *corev3.Node) (*Machine, error) {
	meta := node.GetMetadata().GetFields()
	group := text(meta, MetadataGroup)
	if group == "" {
		return nil, nil
	}
	namespace := text(meta, "NAMESPACE")
	parts := strings.Split(node.GetId(), "~")
	if len(parts) != 4 {
		return nil, fmt.Errorf("node id %q is not ROLE~IP~POD.NAMESPACE~DOMAIN", node.GetId())
	}
	addr, err := netip.ParseAddr(parts[1])
	if err != nil {
		return nil, fmt.Errorf("node id %q has no IP address", node.GetId())
	}
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() {
		return nil, fmt.Errorf("other machines cannot call %s; give the machine's address on the network", addr)
	}
	m := &Machine{
		Group: ir.ConfigKey{Namespace: namespace, Name: group}, Account: text(meta, "SERVICE_ACCOUNT"),
		Addr: addr, Network: text(meta, "NETWORK"), Probed: text(meta, MetadataProbed) == "true",
	}
	if l := node.GetLocality(); l.GetRegion() != "" {
		m.Locality = strings.TrimRight(strings.Join([]string{l.Region, l.Zone, l.SubZone}, "/"), "/")
	}
	m.Entry = ir.ConfigKey{Namespace: namespace, Name: EntryName(group, addr, m.Network)}
	return m, nil
}

// ofAgent tells whether a stream is of the machine's agent and not of its proxy.
func ofAgent(node *corev3.Node) bool {
	return text(node.GetMetadata().GetFields(), MetadataStream) == "agent"
}

func text(m map[string]*structpb.Value, key string) string { return m[key].GetStringValue() }

// maxName bounds the names of objects.
const maxName = 253

// EntryName is the name of a machine's WorkloadEntry: GROUP-ADDRESS[-NETWORK]. What is too long loses its beginning.
func EntryName(group string, addr netip.Addr, network string) string {
	name := group + "-" + strings.ReplaceAll(addr.String(), ":", "-")
	if addr.Is6() {
		// The short form of some addresses ends in what no name may end in.
		if short := addr.String(); strings.HasPrefix(short, ":") || strings.HasSuffix(short, ":") {
			name = group + "-" + strings.ReplaceAll(addr.StringExpanded(), ":", "-")
		}
	}
	if network != "" {
		name += "-" + network
	}
	name = strings.ToLower(name)
	if len(name) > maxName {
		name = strings.TrimLeft(name[len(name)-maxName:], "-.")
	}
	return name
}
