// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/cgroup"
	"github.com/meshwright/meshwright/test/cluster/host"
	"github.com/meshwright/meshwright/test/cluster/network"
	"github.com/meshwright/meshwright/test/cluster/process"
)

// Down ends the cluster and removes everything that it made, its data too. It
// works on whatever is left of a cluster, and says nothing when that is nothing.
func (c *Cluster) Down(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(c.Dir), 0o755); err != nil {
		return fmt.Errorf("make the directory of clusters: %w", err)
	}
	unlock, err := host.Lock(ctx, c.lockFile(), func() { c.say("another run works on cluster %s - waiting for it", c.Name) })
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.stopRecorded(ctx); err != nil {
		return err
	}
	claim, found, err := c.Registry.Find(c.Dir)
	if err != nil {
		return err
	}
	if found {
		if err := c.remove(ctx, claim); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		return fmt.Errorf("remove the state of %s: %w", c.Name, err)
	}
	// The lock's file goes last, while it is held.
	if err := os.Remove(c.lockFile()); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the lock of %s: %w", c.Name, err)
	}
	return nil
}

// remove ends the processes of a full cluster and takes its number back.
func (c *Cluster) remove(ctx context.Context, claim address.Claim) error {
	if err := host.CheckRoot(); err != nil {
		return err
	}
	tree := cgroup.New(claim.Cgroup())
	// With the last process go its namespaces, and with those every mount,
	// interface and packet rule of the node and its pods.
	if err := tree.Kill(ctx); err != nil {
		return err
	}
	if err := tree.Remove(ctx); err != nil {
		return err
	}
	unlock, err := c.Registry.Lock(ctx)
	if err != nil {
		return err
	}
	err = c.disconnect(claim)
	unlock()
	if err != nil {
		return err
	}
	if err := c.Registry.Release(ctx, claim, network.RemoveBridge); err != nil {
		return err
	}
	left, err := Leftovers(claim)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("cluster %s is down but something of it is left: %s", c.Name, strings.Join(left, "; "))
	}
	return nil
}

// disconnect removes the cluster's routes from the host and from its peers.
func (c *Cluster) disconnect(claim address.Claim) error {
	err := c.eachPeer(func(peer address.Claim, pid int) error {
		return network.Disconnect(pid, network.Peer{Plan: claim.Plan, Pods: peer.Network == claim.Network})
	})
	if err != nil {
		return err
	}
	return network.Remove(claim.Plan)
}

// stopRecorded ends the processes whose records are in the state directory:
// those of a bare cluster, which has no cgroup.
func (c *Cluster) stopRecorded(ctx context.Context) error {
	s, err := c.readState()
	if err != nil || s == nil || s.Ports == nil {
		return err
	}
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if r, ok := process.Read(filepath.Join(c.run(), name+".pid")); ok && r.Alive() {
			if err := process.Stop(ctx, r, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Leftovers names everything of a cluster that is still on the machine:
// processes, mounts, interfaces, routes, packet rules and cgroups.
func Leftovers(claim address.Claim) ([]string, error) {
	var out []string
	tree := cgroup.New(claim.Cgroup())
	if exists, err := tree.Exists(); err != nil {
		return nil, err
	} else if exists {
		out = append(out, "cgroup "+claim.Cgroup())
	}
	found, err := network.Leftovers(claim.Plan)
	if err != nil {
		return nil, err
	}
	for _, name := range found.Interfaces {
		out = append(out, "interface "+name)
	}
	for _, r := range found.Routes {
		out = append(out, "route to "+r.Dst.String())
	}
	processes, err := processesOf(claim.State)
	if err != nil {
		return nil, err
	}
	out = append(out, processes...)
	mounts, err := linesWith("/proc/self/mountinfo", claim.State)
	if err != nil {
		return nil, err
	}
	for _, line := range mounts {
		out = append(out, "mount "+line)
	}
	rules, err := packetRules(claim)
	return append(out, rules...), err
}

// processesOf names the processes whose command line or executable lies in the
// state directory or names it, without this one and its ancestors.
func processesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		program, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		args := strings.ReplaceAll(string(line), "\x00", " ")
		if strings.HasPrefix(program, dir+"/") || strings.Contains(args, dir+"/") {
			out = append(out, fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(args)))
		}
	}
	return out, nil
}

func linesWith(file, word string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var out []string
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line, word) {
			out = append(out, line)
		}
	}
	return out, nil
}
