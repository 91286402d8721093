// SPDX-License-Identifier: Apache-2.0

// Package network joins the nodes of local clusters with each other and with
// the host: one bridge, one link per node, and routes. It sets no packet
// filter rule on the host.
package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/meshwright/meshwright/test/cluster/address"
)

// inside is the name of the node's end of its link.
const inside = "eth0"

// Taken are the networks that the machine's routes and addresses name, without
// those of local clusters.
func Taken() ([]netip.Prefix, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the machine's interfaces: %w", err)
	}
	var out []netip.Prefix
	ours := map[int]bool{}
	for _, l := range links {
		if Ours(l.Attrs().Name) {
			ours[l.Attrs().Index] = true
			continue
		}
		addresses, err := netlink.AddrList(l, netlink.FAMILY_V4)
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", l.Attrs().Name, err)
		}
		for _, a := range addresses {
			out = append(out, prefixOf(a.IPNet))
		}
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list the machine's routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil && !ours[r.LinkIndex] {
			out = append(out, prefixOf(r.Dst))
		}
	}
	return out, nil
}

// Ours says whether an interface of the host belongs to local clusters.
func Ours(name string) bool {
	number, ok := strings.CutPrefix(name, strings.TrimRight(address.BridgeName, "0"))
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// EnsureBridge makes the bridge of all clusters, with the host's address.
func EnsureBridge(plan address.Plan) error {
	link, err := netlink.LinkByName(address.BridgeName)
	if notFound(err) {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: address.BridgeName}}
		if err := netlink.LinkAdd(bridge); err != nil {
			return fmt.Errorf("make the bridge %s: %w", address.BridgeName, err)
		}
		link, err = netlink.LinkByName(address.BridgeName)
	}
	if err != nil {
		return fmt.Errorf("look up the bridge %s: %w", address.BridgeName, err)
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ipNet(plan.Bridge())}); err != nil {
		return fmt.Errorf("give the bridge %s its address %s: %w", address.BridgeName, plan.Bridge(), err)
	}
	return up(link)
}

// EnsureNode links the network namespace of process pid to the bridge and
// sets the node's address, the host's routes to the cluster, and the node's.
func EnsureNode(plan address.Plan, pid int) error {
	ns, handle, err := enter(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	defer handle.Close()
	link, err := handle.LinkByName(inside)
	if notFound(err) {
		if err := addLink(plan, pid); err != nil {
			return err
		}
		link, err = handle.LinkByName(inside)
	}
	if err != nil {
		return fmt.Errorf("look up the node's link: %w", err)
	}
	lo, err := handle.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("look up the node's loopback: %w", err)
	}
	for _, l := range []netlink.Link{lo, link} {
		if err := handle.LinkSetUp(l); err != nil {
			return fmt.Errorf("switch on %s of the node: %w", l.Attrs().Name, err)
		}
	}
	node := netip.PrefixFrom(plan.Node(), plan.Bridge().Bits())
	if err := handle.AddrReplace(link, &netlink.Addr{IPNet: ipNet(node)}); err != nil {
		return fmt.Errorf("give the node its address %s: %w", node, err)
	}
	// Load balancer addresses are the node's own, so that a port that nobody
	// serves is refused instead of going round until the packet dies.
	local := &netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: ipNet(plan.LoadBalancers()), Type: syscall.RTN_LOCAL,
		Table: syscall.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST,
	}
	if err := handle.RouteReplace(local); err != nil {
		return fmt.Errorf("route load balancer addresses on the node: %w", err)
	}
	// The node's own processes, the API server before all, call Services too. A
	// packet needs some route before kube-proxy's rules turn it to a pod.
	services := &netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: ipNet(plan.Services()), Scope: netlink.SCOPE_LINK,
		Src: net.IP(plan.Node().AsSlice()),
	}
	if err := handle.RouteReplace(services); err != nil {
		return fmt.Errorf("route services on the node: %w", err)
	}
	// Nothing outside is reachable, and says so at once.
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	if err := handle.RouteReplace(&netlink.Route{Dst: all, Type: syscall.RTN_UNREACHABLE}); err != nil {
		return fmt.Errorf("set the node's default route: %w", err)
	}
	return hostRoutes(plan)
}

// addLink makes the pair of interfaces, replacing a half that a crash left.
func addLink(plan address.Plan, pid int) error {
	if err := removeLink(plan.Interface()); err != nil {
		return err
	}
	bridge, err := netlink.LinkByName(address.BridgeName)
	if err != nil {
		return fmt.Errorf("look up the bridge %s: %w", address.BridgeName, err)
	}
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: plan.Interface(), MasterIndex: bridge.Attrs().Index},
		PeerName:      inside,
		PeerNamespace: netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make the node's link %s: %w", plan.Interface(), err)
	}
	return up(pair)
}

func hostRoutes(plan address.Plan) error {
	bridge, err := netlink.LinkByName(address.BridgeName)
	if err != nil {
		return fmt.Errorf("look up the bridge %s: %w", address.BridgeName, err)
	}
	for _, dst := range plan.Ranges() {
		if err := netlink.RouteReplace(via(bridge, dst, plan.Node())); err != nil {
			return fmt.Errorf("route %s to the node %s: %w", dst, plan.Node(), err)
		}
	}
	return nil
}

// Peer is another cluster as a node's routes see it.
type Peer struct {
	// Plan is the other cluster's.
	Plan address.Plan
	// Pods says whether its pods are reached directly.
	Pods bool
}

// Connect gives the node of process pid routes to another cluster: always to
// its load balancers, and to its pods when both are in one network. A node
// that is not linked yet is left alone: when its link is made, it is connected
// with all others in both directions.
func Connect(pid int, peer Peer) error {
	return peerRoutes(pid, peer, func(h *netlink.Handle, r *netlink.Route) error { return h.RouteReplace(r) })
}

// Disconnect removes what Connect made.
func Disconnect(pid int, peer Peer) error {
	return peerRoutes(pid, peer, func(h *netlink.Handle, r *netlink.Route) error {
		if err := h.RouteDel(r); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return nil
	})
}

func peerRoutes(pid int, peer Peer, do func(*netlink.Handle, *netlink.Route) error) error {
	ns, handle, err := enter(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	defer handle.Close()
	link, err := handle.LinkByName(inside)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the node's link: %w", err)
	}
	destinations := []netip.Prefix{peer.Plan.LoadBalancers()}
	if peer.Pods {
		destinations = append(destinations, peer.Plan.Pods())
	}
	for _, dst := range destinations {
		if err := do(handle, via(link, dst, peer.Plan.Node())); err != nil {
			return fmt.Errorf("route %s between clusters: %w", dst, err)
		}
	}
	return nil
}

// Remove removes the host's end of the node's link and the routes to the
// cluster. The other end goes with the node's network namespace.
func Remove(plan address.Plan) error {
	found, err := Leftovers(plan)
	if err != nil {
		return err
	}
	for _, r := range found.Routes {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("remove the route to %s: %w", r.Dst, err)
		}
	}
	return removeLink(plan.Interface())
}

// RemoveBridge removes the bridge; no cluster may be left.
func RemoveBridge() error { return removeLink(address.BridgeName) }

// Found is what the host's network has of one cluster.
type Found struct {
	// Interfaces are names, Routes are routes into the cluster's ranges.
	Interfaces []string
	Routes     []netlink.Route
}

// Leftovers is what the host's network has of the cluster.
func Leftovers(plan address.Plan) (Found, error) {
	var out Found
	if _, err := netlink.LinkByName(plan.Interface()); err == nil {
		out.Interfaces = append(out.Interfaces, plan.Interface())
	} else if !notFound(err) {
		return out, fmt.Errorf("look up %s: %w", plan.Interface(), err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return out, fmt.Errorf("list the machine's routes: %w", err)
	}
	for _, r := range routes {
		for _, own := range plan.Ranges() {
			if r.Dst != nil && prefixOf(r.Dst) == own && r.Gw.Equal(net.IP(plan.Node().AsSlice())) {
				out.Routes = append(out.Routes, r)
			}
		}
	}
	return out, nil
}

func enter(pid int) (netns.NsHandle, *netlink.Handle, error) {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return 0, nil, fmt.Errorf("open the network namespace of process %d: %w", pid, err)
	}
	handle, err := netlink.NewHandleAt(ns)
	if err != nil {
		ns.Close()
		return 0, nil, fmt.Errorf("enter the network namespace of process %d: %w", pid, err)
	}
	return ns, handle, nil
}

func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the interface %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("remove the interface %s: %w", name, err)
	}
	return nil
}

func up(link netlink.Link) error {
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("switch on the interface %s: %w", link.Attrs().Name, err)
	}
	return nil
}

func via(link netlink.Link, dst netip.Prefix, gateway netip.Addr) *netlink.Route {
	return &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst), Gw: net.IP(gateway.AsSlice())}
}

func notFound(err error) bool {
	var absent netlink.LinkNotFoundError
	return errors.As(err, &absent)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits).Masked()
}
