// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/meshwright/meshwright/test/cluster/cgroup"
	"github.com/meshwright/meshwright/test/cluster/host"
	"github.com/meshwright/meshwright/test/cluster/process"
)

// The holder is a process that does nothing but keep the node's network and
// mount namespace. Every mount of containerd, the kubelet and the pods is made
// in there, and every interface, route and packet rule of the node and its
// pods too; when the last process of the node has gone, the kernel removes all
// of it, and the host never saw any.

// binds are the places where node programs keep things by default, some of
// them not configurable, and the directories of the state that stand there
// within the node's mount namespace.
var binds = []struct{ from, to string }{
	{"data/containerd", "/var/lib/containerd"},
	{"data/kubelet", "/var/lib/kubelet"},
	{"data/pod-logs", "/var/log/pods"},
	{"data/container-logs", "/var/log/containers"},
	{"data/cni", "/var/lib/cni"},
	{"config/cni", "/etc/cni/net.d"},
}

// tmpfs are the places for files that do not outlive the node's processes.
var tmpfs = []string{"/run/containerd", "/run/netns"}

// Hold is the holder's main function. It runs in fresh namespaces.
func Hold(l Layout) error {
	// Mounts of the host come in, none go out; within the node they are
	// shared, so that pods can ask for mount propagation.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("set the node's mount propagation: %w", err)
	}
	for _, b := range binds {
		from := filepath.Join(l.Dir, b.from)
		for _, dir := range []string{from, b.to} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make a directory of the node: %w", err)
			}
		}
		if err := syscall.Mount(from, b.to, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", from, b.to, err)
		}
	}
	for _, dir := range tmpfs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a directory of the node: %w", err)
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
		}
	}
	// /proc/sys/net shows the settings of the reader's network namespace.
	for name, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0",
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("set the node's %s: %w", name, err)
		}
	}
	if err := host.WriteFile(l.ready(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	return nil
}

// Enter puts the calling process into a cluster's cgroup and then turns it
// into the program of args. It returns only on failure.
func Enter(cgroupName string, args []string) error {
	if err := cgroup.New(cgroupName).Join(); err != nil {
		return err
	}
	program := host.Find(args[0])
	if program == "" {
		return fmt.Errorf("%s is not installed", args[0])
	}
	return fmt.Errorf("run %s: %w", program, syscall.Exec(program, args, os.Environ()))
}

// holderService is the holder as a service of the cluster.
func (c *Cluster) holderService() process.Service {
	return process.Service{
		Name: "holder",
		Args: []string{c.self(), "hold", c.Dir},
		Prefix: []string{
			c.self(), "enter", c.claim.Cgroup(),
			"unshare", "--mount", "--net", "--propagation", "slave",
		},
		Env:    c.environment(),
		RunDir: c.run(), LogDir: c.Logs(),
	}
}

// ensureHolder makes the holder run. When it had died, everything else of the
// node is ended first: it lives in namespaces that nobody can join any more.
func (c *Cluster) ensureHolder(ctx context.Context) (*process.Running, error) {
	service := c.holderService()
	if record, ok := process.Read(service.RecordFile()); !ok || !record.Alive() || !c.holderReady(record.PID) {
		tree := cgroup.New(c.claim.Cgroup())
		if err := tree.Kill(ctx); err != nil {
			return nil, err
		}
		// Empty cgroups of dead containers make the next kubelet wait for
		// each of them.
		if err := tree.Remove(ctx); err != nil {
			return nil, err
		}
		if err := tree.Create(); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(c.run()); err != nil {
			return nil, fmt.Errorf("remove old process records of %s: %w", c.Name, err)
		}
	}
	running, err := service.Ensure(ctx)
	if err != nil {
		return nil, err
	}
	return running, poll(ctx, 20*time.Second, 10*time.Millisecond, "the node's namespaces", func() (bool, error) {
		return c.holderReady(running.PID()), running.Err()
	})
}

func (c *Cluster) holderReady(pid int) bool {
	text, err := os.ReadFile(c.ready())
	return err == nil && string(text) == strconv.Itoa(pid)+"\n"
}

// errTimeout is returned by poll when the time is over.
var errTimeout = errors.New("not in time")

// poll asks until done is true, at most for the time given. An error of done
// ends it at once.
func poll(ctx context.Context, limit, pause time.Duration, what string, done func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for %s: %w (%s)", what, errTimeout, limit)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-time.After(pause):
		}
	}
}
