// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/meshwright/meshwright/test/cluster/host"
	"github.com/meshwright/meshwright/test/cluster/kubeconfig"
	"github.com/meshwright/meshwright/test/cluster/process"
	"github.com/meshwright/meshwright/test/port"
)

// barePorts are the loopback ports of a bare cluster.
type barePorts struct {
	API      uint16 `json:"api"`
	EtcdAPI  uint16 `json:"etcd"`
	EtcdPeer uint16 `json:"etcdPeer"`
	Health   uint16 `json:"health"`
}

// bareServices is a nominal range: nothing routes it.
var bareServices = netip.MustParsePrefix("10.96.0.0/16")

// loopback is where a bare cluster listens.
var loopback = netip.MustParseAddr("127.0.0.1")

// UpBare brings up etcd and an API server alone, on loopback ports of the
// host, for tests that need a real API server and no pods. It needs no root.
// port is the API server's, 0 for a free one.
func (c *Cluster) UpBare(ctx context.Context, port uint16) error {
	started := time.Now()
	if err := host.CheckPlatform(); err != nil {
		return err
	}
	if err := c.Binaries.Ensure(ctx, "kubernetes", "etcd"); err != nil {
		return err
	}
	unlock, err := host.Lock(ctx, c.lockFile(), func() { c.say("another run works on cluster %s - waiting for it", c.Name) })
	if err != nil {
		return err
	}
	defer unlock()
	if _, found, err := c.Registry.Find(c.Dir); err != nil {
		return err
	} else if found {
		return fmt.Errorf("cluster %s is a full one: take it down first, or choose another name", c.Name)
	}
	ports, err := c.choosePorts(ctx, port)
	if err != nil {
		return err
	}
	if err := c.writeState(state{Boot: c.Registry.Boot, Ports: ports}); err != nil {
		return err
	}
	authority, err := ensureCertificates(c.Layout, controlIdentities(loopback, bareServices.Addr().Next()))
	if err != nil {
		return err
	}
	server := netip.AddrPortFrom(loopback, ports.API)
	if err := kubeconfig.Write(c.Kubeconfig(), c.Name, "https://"+server.String(), "admin", authority); err != nil {
		return err
	}
	client, peer := netip.AddrPortFrom(loopback, ports.EtcdAPI), netip.AddrPortFrom(loopback, ports.EtcdPeer)
	health := netip.AddrPortFrom(loopback, ports.Health)
	etcd, err := c.bareService("etcd", etcdArgs(c.Binaries.Path("etcd"), c.data("etcd"), client, peer, health)).Ensure(ctx)
	if err != nil {
		return err
	}
	if err := waitEtcd(ctx, etcd, health); err != nil {
		return err
	}
	arguments := apiServer{
		program: c.Binaries.Path("kube-apiserver"), pki: c.Layout.pki(), etcd: client, bind: server,
		advertise: loopback, services: bareServices, bare: true,
	}
	api, err := c.bareService("kube-apiserver", arguments.args(), string(authority.CertPEM())).Ensure(ctx)
	if err != nil {
		return err
	}
	if err := waitServer(ctx, c.Layout, etcd, api); err != nil {
		return err
	}
	c.say("API server %s: ready after %s", c.Name, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// choosePorts keeps the ports of an earlier run as long as they can be had, so
// that the kubeconfig stays valid, and chooses free ones otherwise.
func (c *Cluster) choosePorts(ctx context.Context, asked uint16) (*barePorts, error) {
	old, err := c.readState()
	if err != nil {
		return nil, err
	}
	if old != nil && old.Ports != nil && (asked == 0 || asked == old.Ports.API) {
		if c.portsUsable(old.Ports) {
			return old.Ports, nil
		}
		c.say("the ports of %s are taken by others; choosing new ones", c.Name)
	}
	if err := c.stopRecorded(ctx); err != nil {
		return nil, err
	}
	if asked != 0 {
		if err := host.CheckPort(netip.AddrPortFrom(loopback, asked).String()); err != nil {
			return nil, err
		}
	}
	free, err := port.Find(4)
	if err != nil {
		return nil, err
	}
	ports := &barePorts{API: free[0], EtcdAPI: free[1], EtcdPeer: free[2], Health: free[3]}
	if asked != 0 {
		ports.API = asked
	}
	return ports, nil
}

// portsUsable says whether each port is free or held by the cluster itself.
func (c *Cluster) portsUsable(p *barePorts) bool {
	free := func(port uint16) bool { return host.CheckPort(netip.AddrPortFrom(loopback, port).String()) == nil }
	alive := func(name string) bool {
		r, ok := process.Read(c.bareService(name, nil).RecordFile())
		return ok && r.Alive()
	}
	return (alive("kube-apiserver") || free(p.API)) &&
		(alive("etcd") || free(p.EtcdAPI) && free(p.EtcdPeer) && free(p.Health))
}

func (c *Cluster) bareService(name string, args []string, inputs ...string) process.Service {
	return process.Service{Name: name, Args: args, Inputs: inputs, Env: c.environment(), RunDir: c.run(), LogDir: c.Logs()}
}
