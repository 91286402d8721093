// SPDX-License-Identifier: Apache-2.0

package address

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"

	"github.com/meshwright/meshwright/test/cluster/host"
)

// Claim says which cluster holds a number.
type Claim struct {
	Plan
	// Name is the cluster's name.
	Name string `json:"name"`
	// State is the absolute path of the cluster's state directory. Together
	// with the number it identifies the cluster on this machine.
	State string `json:"state"`
	// Network joins clusters: pods of clusters of one network reach each other.
	Network string `json:"network"`
	// Boot is the boot of the machine that the claim was made in; no
	// interface or process of another boot exists any more.
	Boot string `json:"boot"`
}

// Registry is the machine-wide list of claims, one file each. It is outside
// the repository so that checkouts do not take each other's numbers, and so
// that a cluster whose state directory was deleted can still be taken down.
type Registry struct {
	// Dir is the registry's directory.
	Dir string
	// Boot is the current boot of the machine.
	Boot string
}

// NewRegistry is the registry of this machine.
func NewRegistry() (Registry, error) {
	boot, err := host.Boot()
	return Registry{Dir: "/run/meshwright/clusters", Boot: boot}, err
}

// Find is the claim of the cluster whose state directory is state.
func (r Registry) Find(state string) (Claim, bool, error) {
	claims, err := r.List()
	if err != nil {
		return Claim{}, false, err
	}
	for _, c := range claims {
		if c.State == state {
			return c, true, nil
		}
	}
	return Claim{}, false, nil
}

// List is every claim of this boot, by number.
func (r Registry) List() ([]Claim, error) {
	files, err := filepath.Glob(filepath.Join(r.Dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list the clusters of this machine: %w", err)
	}
	var out []Claim
	for _, f := range files {
		text, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the claim %s: %w", f, err)
		}
		var c Claim
		if err := json.Unmarshal(text, &c); err != nil || c.Index < 1 || c.Index > MaxClusters {
			return nil, fmt.Errorf("the claim %s is damaged: delete it if no cluster of that number runs", f)
		}
		if c.Boot == r.Boot {
			out = append(out, c)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Index < out[j].Index })
	return out, nil
}

// Claim returns the claim of the cluster with the state directory of want,
// making one when there is none: with the plan prefer, if that is not nil and
// still free. taken is asked for the machine's networks, without ours.
func (r Registry) Claim(ctx context.Context, want Claim, prefer *Plan, taken func() ([]netip.Prefix, error)) (Claim, error) {
	unlock, err := r.Lock(ctx)
	if err != nil {
		return Claim{}, err
	}
	defer unlock()
	claims, err := r.List()
	if err != nil {
		return Claim{}, err
	}
	var used []Plan
	for _, c := range claims {
		if c.State == want.State {
			return c, nil
		}
		used = append(used, c.Plan)
	}
	networks, err := taken()
	if err != nil {
		return Claim{}, err
	}
	c := want
	c.Boot = r.Boot
	if c.Plan, err = Choose(prefer, used, networks); err != nil {
		return Claim{}, err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return Claim{}, fmt.Errorf("encode the claim of %s: %w", c.Name, err)
	}
	if err := host.WriteFile(r.file(c), append(text, '\n'), 0o644); err != nil {
		return Claim{}, fmt.Errorf("record the claim of %s: %w", c.Name, err)
	}
	return c, nil
}

// Release gives the claim's number back. last is called while the registry is
// locked when no other cluster is left, to remove what clusters share.
func (r Registry) Release(ctx context.Context, c Claim, last func() error) error {
	unlock, err := r.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(r.file(c)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("give back the number of %s: %w", c.Name, err)
	}
	claims, err := r.List()
	if err != nil || len(claims) > 0 {
		return err
	}
	return last()
}

// Lock takes the registry's lock, under which shared interfaces are changed.
func (r Registry) Lock(ctx context.Context) (func(), error) {
	return host.Lock(ctx, filepath.Join(filepath.Dir(r.Dir), "lock"), nil)
}

func (r Registry) file(c Claim) string {
	return filepath.Join(r.Dir, fmt.Sprintf("%d.json", c.Index))
}
