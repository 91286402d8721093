// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lay makes files below a new directory that stands for /sys/fs/cgroup.
func lay(t *testing.T, files map[string]string) Tree {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Tree{Root: root, Name: "mesh"}
}

func (t Tree) has(name string) bool {
	_, err := os.Stat(filepath.Join(t.Root, name))
	return err == nil
}

func TestCreateInVersion1(t *testing.T) {
	tree := lay(t, map[string]string{
		"memory/cgroup.procs": "", "cpuset/cgroup.procs": "", "cpuset/cpuset.cpus": "0-1\n", "cpuset/cpuset.mems": "0\n",
		"cpuset/mesh/cpuset.cpus": "\n", "cpuset/mesh/cpuset.mems": "\n",
		"unified/cgroup.procs": "", "unified/cgroup.controllers": "", "notes/readme": "",
	})
	if err := os.Symlink("memory", filepath.Join(tree.Root, "mem")); err != nil {
		t.Fatal(err)
	}
	if err := tree.Create(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"memory/mesh/node", "memory/mesh/pods", "cpuset/mesh/node"} {
		if !tree.has(want) {
			t.Errorf("%s was not made", want)
		}
	}
	for _, not := range []string{"unified/mesh", "notes/mesh"} {
		if tree.has(not) {
			t.Errorf("%s was made: it is no hierarchy with controllers", not)
		}
	}
	if cpus, _ := os.ReadFile(filepath.Join(tree.Root, "cpuset/mesh/cpuset.cpus")); strings.TrimSpace(string(cpus)) != "0-1" {
		t.Errorf("the cpuset is %q: no process could join", cpus)
	}
}

func TestCreateInVersion2EnablesControllers(t *testing.T) {
	tree := lay(t, map[string]string{
		"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "cpu memory", "cgroup.procs": "",
		"mesh/cgroup.controllers": "memory", "mesh/cgroup.subtree_control": "",
		"mesh/pods/cgroup.controllers": "memory", "mesh/pods/cgroup.subtree_control": "memory",
	})
	if err := tree.Create(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cgroup.subtree_control": "+pids", "mesh/cgroup.subtree_control": "+memory", "mesh/pods/cgroup.subtree_control": "memory"} {
		have, err := os.ReadFile(filepath.Join(tree.Root, file))
		if err != nil || string(have) != want {
			t.Errorf("%s: %q was written last (%v), want %q", file, have, err, want)
		}
	}
	if tree.has("mesh/node/cgroup.subtree_control") {
		t.Error("controllers were enabled below the leaf that holds processes")
	}
}

func TestProcessesAreFoundEverywhere(t *testing.T) {
	tree := lay(t, map[string]string{
		"memory/cgroup.procs": "1\n", "memory/mesh/node/cgroup.procs": "10\n11\n", "memory/mesh/pods/x/y/cgroup.procs": "12\n",
		"pids/cgroup.procs": "1\n", "pids/mesh/node/cgroup.procs": "11\n13\n",
		"unified/cgroup.procs": "1\n", "unified/cgroup.controllers": "", "unified/mesh/pods/z/cgroup.procs": "14\n",
	})
	got, err := tree.Processes()
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{10, 11, 12, 13, 14}; len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	dirs, err := tree.dirs()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		if seen[filepath.Dir(dir)] {
			t.Errorf("%s comes after its parent: it would not be empty when its turn to be removed comes", dir)
		}
		seen[dir] = true
	}
}

func TestNoCgroupsIsExplained(t *testing.T) {
	tree := Tree{Root: filepath.Join(t.TempDir(), "none"), Name: "mesh"}
	if err := tree.Create(); err == nil || !strings.Contains(err.Error(), tree.Root) {
		t.Errorf("got %v, want an error that names %s", err, tree.Root)
	}
	empty := Tree{Root: t.TempDir(), Name: "mesh"}
	if err := empty.Create(); err == nil || !strings.Contains(err.Error(), "--privileged") {
		t.Errorf("got %v, want an error that names the remedy", err)
	}
}
