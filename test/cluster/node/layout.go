// SPDX-License-Identifier: Apache-2.0

// Package node runs one local cluster: a Kubernetes control plane and one node
// with real parts, in a network and a mount namespace of their own, all of
// them in one cgroup.
package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/host"
)

// Layout is where a cluster keeps its files.
type Layout struct {
	// Dir is the cluster's state directory, absolute.
	Dir string
	// Name is the cluster's name.
	Name string
}

var validName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$`)

// NewLayout is the layout of the cluster called name below root.
func NewLayout(root, name string) (Layout, error) {
	if !validName.MatchString(name) {
		return Layout{}, fmt.Errorf("cluster name %q: use a lower-case letter and then up to 31 lower-case letters, digits and hyphens, like `east`", name)
	}
	dir, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		return Layout{}, fmt.Errorf("find the state directory of %s: %w", name, err)
	}
	return Layout{Dir: dir, Name: name}, nil
}

// Kubeconfig is the administrator's kubeconfig.
func (l Layout) Kubeconfig() string { return filepath.Join(l.Dir, "kubeconfig") }

// Logs is the directory of the programs' output.
func (l Layout) Logs() string { return filepath.Join(l.Dir, "logs") }

func (l Layout) run() string          { return filepath.Join(l.Dir, "run") }
func (l Layout) pki() string          { return filepath.Join(l.Dir, "pki") }
func (l Layout) data(n string) string { return filepath.Join(l.Dir, "data", n) }
func (l Layout) conf(n string) string { return filepath.Join(l.Dir, "config", n) }
func (l Layout) self() string         { return filepath.Join(l.Dir, "bin", "cluster") }
func (l Layout) stateFile() string    { return filepath.Join(l.Dir, "state.json") }
func (l Layout) ready() string        { return filepath.Join(l.run(), "holder.ready") }

// lockFile is beside the state directory, so that the directory can go while
// the lock is held.
func (l Layout) lockFile() string {
	return filepath.Join(filepath.Dir(l.Dir), "."+l.Name+".lock")
}

func (l Layout) nodeName() string { return l.Name + "-node" }

// state says what the data of the state directory were made for. Data of
// another boot or other addresses are of no use: they are made anew.
type state struct {
	// Boot is the boot of the machine.
	Boot string `json:"boot"`
	// Plan has the addresses; nil for a bare cluster.
	Plan *address.Plan `json:"plan,omitempty"`
	// Ports are those of a bare cluster.
	Ports *barePorts `json:"ports,omitempty"`
}

// readState is the recorded state, nil when there is none. A damaged record
// counts as none: the data are made anew.
func (l Layout) readState() (*state, error) {
	text, err := os.ReadFile(l.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of %s: %w", l.Name, err)
	}
	var s state
	if json.Unmarshal(text, &s) != nil {
		return nil, nil
	}
	return &s, nil
}

func (l Layout) writeState(s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state of %s: %w", l.Name, err)
	}
	return host.WriteFile(l.stateFile(), append(text, '\n'), 0o644)
}

// wipe removes everything that programs wrote; keys and certificates stay.
func (l Layout) wipe() error {
	for _, dir := range []string{"data", "run", "logs"} {
		if err := os.RemoveAll(filepath.Join(l.Dir, dir)); err != nil {
			return fmt.Errorf("remove the old data of %s: %w", l.Name, err)
		}
	}
	return nil
}

// installSelf copies this program into the state directory: what `go run`
// made vanishes, and the cluster's processes outlive it.
func (l Layout) installSelf() error {
	from, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	if from == l.self() {
		return nil
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read this program's file: %w", err)
	}
	return host.WriteFile(l.self(), content, 0o755)
}
