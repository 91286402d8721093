// SPDX-License-Identifier: Apache-2.0

// Package cgroup keeps all processes of one local cluster together, in cgroup
// version 1 and 2, so that they can all be found and ended even when whoever
// started them has died.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// Node is the leaf that the node's own programs are in.
	Node = "node"
	// Pods is the subtree that the kubelet makes the pods' cgroups in.
	Pods = "pods"
)

// Tree is one cluster's cgroups: the directory Name in each hierarchy below
// Root, with the children Node and Pods.
type Tree struct {
	// Root is where cgroups are mounted, normally /sys/fs/cgroup.
	Root string
	// Name is the cluster's cgroup.
	Name string
}

// New is the tree called name on this machine.
func New(name string) Tree { return Tree{Root: "/sys/fs/cgroup", Name: name} }

// unified says whether this is cgroup version 2 (cgroups(7)).
func (t Tree) unified() bool {
	_, err := os.Stat(filepath.Join(t.Root, "cgroup.controllers"))
	return err == nil
}

// hierarchies are the directories that hold cgroups: the root itself in
// version 2, one per controller in version 1. A second name of a hierarchy (a
// symbolic link like cpu -> cpu,cpuacct) is left out.
func (t Tree) hierarchies() ([]string, error) {
	all, err := t.everywhere()
	if err != nil || t.unified() {
		return all, err
	}
	out := slices.DeleteFunc(all, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "cgroup.controllers"))
		return err == nil
	})
	if len(out) == 0 {
		return nil, fmt.Errorf("no cgroups with controllers are mounted at %s: mount them, or run with the host's cgroups (for a container: --privileged)", t.Root)
	}
	return out, nil
}

// everywhere is hierarchies, and with version 1 also the hierarchy of version
// 2 that may stand beside it without controllers: the container runtime makes
// a cgroup for each container there too.
func (t Tree) everywhere() ([]string, error) {
	if t.unified() {
		return []string{t.Root}, nil
	}
	entries, err := os.ReadDir(t.Root)
	if err != nil {
		return nil, fmt.Errorf("list the cgroups (is %s mounted?): %w", t.Root, err)
	}
	var out []string
	for _, e := range entries {
		dir := filepath.Join(t.Root, e.Name())
		if !e.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
			continue
		}
		out = append(out, dir)
	}
	return out, nil
}

// Create makes the tree; what exists stays.
func (t Tree) Create() error {
	roots, err := t.hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		// A cgroup of version 2 passes only those controllers on that its
		// parents enable; one of version 1 needs its CPUs filled in before a
		// process can join.
		prepare := inheritCPUs
		if t.unified() {
			prepare = enableControllers
		}
		if err := prepare(root, ""); err != nil {
			return err
		}
		for _, dir := range []string{t.Name, filepath.Join(t.Name, Node), filepath.Join(t.Name, Pods)} {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
				return fmt.Errorf("make a cgroup (is %s writable?): %w", root, err)
			}
			if dir == filepath.Join(t.Name, Node) && t.unified() {
				continue // processes and enabled children exclude each other
			}
			if err := prepare(root, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// inheritCPUs fills an empty cpuset of version 1 from its parent.
func inheritCPUs(root, dir string) error {
	if dir == "" {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		path := filepath.Join(root, dir, file)
		have, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(have)) != "" {
			continue
		}
		parent, err := os.ReadFile(filepath.Join(root, filepath.Dir(dir), file))
		if err != nil {
			return fmt.Errorf("read the CPUs of a cgroup: %w", err)
		}
		if err := os.WriteFile(path, parent, 0o644); err != nil {
			return fmt.Errorf("set the CPUs of a cgroup: %w", err)
		}
	}
	return nil
}

// enableControllers lets the children of a version 2 cgroup use every
// controller that it has itself.
func enableControllers(root, dir string) error {
	cgroup := filepath.Join(root, dir)
	text, err := os.ReadFile(filepath.Join(cgroup, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read the controllers of a cgroup: %w", err)
	}
	enabled, err := os.ReadFile(filepath.Join(cgroup, "cgroup.subtree_control"))
	if err != nil {
		return fmt.Errorf("read the enabled controllers of a cgroup: %w", err)
	}
	for _, controller := range strings.Fields(string(text)) {
		if slices.Contains(strings.Fields(string(enabled)), controller) {
			continue
		}
		err := enable(cgroup, controller)
		if errors.Is(err, syscall.EBUSY) && dir == "" {
			// In a container the root has processes of its own, which must
			// be in a leaf before controllers can be passed on.
			if err = moveToLeaf(root); err == nil {
				err = enable(cgroup, controller)
			}
		}
		if err != nil && needed(controller) {
			return fmt.Errorf("enable the cgroup controller %s in %s (run with the host's cgroups; for a container: --privileged --cgroupns=host): %w", controller, cgroup, err)
		}
	}
	return nil
}

// needed names the controllers that the kubelet does not start without.
func needed(controller string) bool {
	return slices.Contains([]string{"cpu", "cpuset", "memory", "pids"}, controller)
}

func enable(cgroup, controller string) error {
	return os.WriteFile(filepath.Join(cgroup, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
}

// moveToLeaf moves the processes of a root that is not the machine's into the
// child "init".
func moveToLeaf(root string) error {
	leaf := filepath.Join(root, "init")
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return fmt.Errorf("make a cgroup for the container's processes: %w", err)
	}
	for _, pid := range processesIn(root) {
		err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("move process %d into a cgroup: %w", pid, err)
		}
	}
	return nil
}

// Join moves the calling process into the leaf Node of every hierarchy.
func (t Tree) Join() error {
	roots, err := t.hierarchies()
	if err != nil {
		return err
	}
	pid := []byte(strconv.Itoa(os.Getpid()))
	for _, root := range roots {
		if err := os.WriteFile(filepath.Join(root, t.Name, Node, "cgroup.procs"), pid, 0o644); err != nil {
			return fmt.Errorf("join the cgroup %s: %w", t.Name, err)
		}
	}
	return nil
}

// Processes are the ids of all processes in the tree.
func (t Tree) Processes() ([]int, error) {
	dirs, err := t.dirs()
	if err != nil {
		return nil, err
	}
	found := map[int]bool{}
	for _, dir := range dirs {
		for _, pid := range processesIn(dir) {
			found[pid] = true
		}
	}
	out := make([]int, 0, len(found))
	for pid := range found {
		out = append(out, pid)
	}
	slices.Sort(out)
	return out, nil
}

// dirs are the tree's directories in every hierarchy, children first.
func (t Tree) dirs() ([]string, error) {
	roots, err := t.everywhere()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(root, t.Name), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it went while we looked
			}
			if err == nil && e.IsDir() {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list the cgroup %s: %w", t.Name, err)
		}
	}
	slices.Reverse(out)
	return out, nil
}

// Exists says whether anything of the tree is there.
func (t Tree) Exists() (bool, error) {
	dirs, err := t.dirs()
	return len(dirs) > 0, err
}

func processesIn(dir string) []int {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}

// killPatience is how long Kill waits for processes to go.
const killPatience = 30 * time.Second

// Kill ends every process in the tree at once and waits until all have gone.
// It looks again after each round, so children forked meanwhile do not escape.
func (t Tree) Kill(ctx context.Context) error {
	for deadline := time.Now().Add(killPatience); ; {
		if err := t.thaw(); err != nil {
			return err
		}
		pids, err := t.Processes()
		if err != nil {
			return err
		}
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() })
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d of the cluster: %w", pid, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of the cluster do not end even when killed: look at /proc/%d/stack", pids, pids[0])
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the cluster's processes to end: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// thaw wakes frozen cgroups of version 1, whose processes cannot die.
func (t Tree) thaw() error {
	dirs, err := t.dirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		file := filepath.Join(dir, "freezer.state")
		if state, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(state)) != "THAWED" {
			if err := os.WriteFile(file, []byte("THAWED"), 0o644); err != nil {
				return fmt.Errorf("wake the cgroup %s: %w", dir, err)
			}
		}
	}
	return nil
}

// Remove removes the tree, which must have no processes any more.
func (t Tree) Remove(ctx context.Context) error {
	for deadline := time.Now().Add(killPatience); ; {
		dirs, err := t.dirs()
		if err != nil {
			return err
		}
		var failed error
		for _, dir := range dirs {
			if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
				failed = fmt.Errorf("remove the cgroup %s: %w", dir, err)
			}
		}
		// The kernel may hold a cgroup for a moment after its last process.
		if failed == nil || time.Now().After(deadline) {
			return failed
		}
		select {
		case <-ctx.Done():
			return failed
		case <-time.After(20 * time.Millisecond):
		}
	}
}
