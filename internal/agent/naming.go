// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/netip"
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshwright/meshwright/internal/agent/discovery"
	"github.com/meshwright/meshwright/internal/agent/identity"
	"github.com/meshwright/meshwright/internal/agent/nameserver"
	"github.com/meshwright/meshwright/internal/agent/resolvconf"
)

// dnsPort is where the servers of resolv.conf listen.
const dnsPort = 53

// naming answers the application's DNS queries and keeps the names of the mesh current.
type naming struct {
	config  Config
	table   *nameserver.Table
	metrics *nameserver.Metrics
	server  *nameserver.Server
	log     logr.Logger
}

// newNaming opens the sockets.
func newNaming(config Config, registry prometheus.Registerer, log logr.Logger) (*naming, error) {
	resolver, err := resolvconf.Read(config.ResolvConf)
	if err != nil {
		return nil, err
	}
	var upstream []netip.AddrPort
	for _, server := range resolver.Servers {
		upstream = append(upstream, netip.AddrPortFrom(server, dnsPort))
	}
	// Redirected packets arrive at the loopback address of their family.
	addresses := []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), config.DNSPort)}
	if slices.ContainsFunc(config.Pod.IPs, netip.Addr.Is6) {
		addresses = append(addresses, netip.AddrPortFrom(netip.IPv6Loopback(), config.DNSPort))
	}
	n := &naming{config: config, table: nameserver.NewTable(), metrics: nameserver.NewMetrics(registry), log: log}
	n.table.Reach(config.Pod.IPs)
	n.server, err = nameserver.Listen(nameserver.Options{
		Addresses: addresses, Table: n.table, Search: resolver.Search,
		Upstream: nameserver.NewUpstream(upstream, n.metrics), Metrics: n.metrics, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// follow takes in names from the control plane, once there is a certificate to ask with.
func (n *naming) follow(ctx context.Context, keeper *identity.Keeper) {
	node, err := n.config.Pod.AgentMessage()
	if err != nil {
		n.log.Error(err, msgNoNames)
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-keeper.First():
	}
	discovery.NewClient(discovery.Options{
		Address: n.config.DiscoveryAddress, Node: node, Identity: keeper.Current, Type: nameserver.ResourceType,
		Connected: n.metrics.Connected, Log: n.log,
		Apply: func(set []*discoveryv3.Resource, removed []string) error {
			names, err := n.table.Apply(set, removed)
			if err == nil {
				n.metrics.Names(names)
			}
			return err
		},
	}).Run(ctx)
}
