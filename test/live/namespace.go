// SPDX-License-Identifier: Apache-2.0

//go:build linux

package live

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace, held open by a file.
type namespace struct{ file *os.File }

func (w *World) newNamespace() namespace {
	w.t.Helper()
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: err}
			return
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		made <- result{file, err}
	}()
	r := <-made
	if r.err != nil {
		w.t.Fatalf("new network namespace: %v", r.err)
	}
	w.t.Cleanup(func() { _ = r.file.Close() })
	return namespace{r.file}
}

// do runs f inside the namespace, on a thread that is thrown away. Sockets that it
// makes stay there.
func (n namespace) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// newSwitch is a namespace with a bridge.
func (w *World) newSwitch() namespace {
	w.t.Helper()
	n := w.newNamespace()
	w.must(n.do(func() error {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
		return errors.Join(netlink.LinkAdd(bridge), netlink.LinkSetUp(bridge))
	}))
	return n
}

const bridgeName = "br0"

// connect gives a pod's namespace an interface with addresses, on the bridge, and
// a default route, so that connections to any address can be made and captured.
func (w *World) connect(pod namespace, number int, addresses []netip.Addr) error {
	host := fmt.Sprintf("pod%d", number)
	peer := fmt.Sprintf("tmp%d", number)
	if err := w.switched.do(func() error {
		bridge, err := netlink.LinkByName(bridgeName)
		if err != nil {
			return err
		}
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: host, MasterIndex: bridge.Attrs().Index}, PeerName: peer}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("new cable: %w", err)
		}
		inner, err := netlink.LinkByName(peer)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetNsFd(inner, int(pod.file.Fd())), netlink.LinkSetUp(veth))
	}); err != nil {
		return err
	}
	return pod.do(func() error {
		link, err := netlink.LinkByName(peer)
		if err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.LinkSetName(link, "eth0"), netlink.LinkSetUp(link), netlink.LinkSetUp(lo)); err != nil {
			return err
		}
		for _, a := range addresses {
			bits, all := 16, "0.0.0.0/0"
			if a.Is6() {
				bits, all = 64, "::/0"
			}
			address, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", a, bits))
			if err != nil {
				return err
			}
			address.Flags = unix.IFA_F_NODAD
			everything, err := netlink.ParseIPNet(all)
			if err != nil {
				return err
			}
			if err := errors.Join(
				netlink.AddrAdd(link, address),
				netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: everything}),
			); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
		// As in a pod: no port is only for root.
		return os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0o644)
	})
}
