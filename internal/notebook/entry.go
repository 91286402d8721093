// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Workload is whose proxies use something.
type Workload struct{ Cluster, Namespace, Name string }

// Uses is what a workload uses: names of resources, sorted.
type Uses struct {
	VirtualHosts []string `json:"virtualHosts,omitempty"`
	Clusters     []string `json:"clusters,omitempty"`
}

const (
	// maxUses bounds what is kept of one workload, and maxName each name.
	maxUses = 1000
	maxName = 600
	// dateLayout is a day: entries are written again to say that they are of use,
	// not more often than renewal, and kept for lifetime after that.
	dateLayout = time.DateOnly
	renewal    = 7 * 24 * time.Hour
	lifetime   = 30 * 24 * time.Hour
)

// entry is what a ConfigMap holds of one workload.
type entry struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Workload  string `json:"workload"`
	// Used is the day at which the workload was last seen to have a proxy.
	Used string `json:"used"`
	Uses
}

func (u Uses) count() int { return len(u.VirtualHosts) + len(u.Clusters) }

// union is what either has, up to the bound.
func union(a, b Uses) Uses {
	hosts := merged(a.VirtualHosts, b.VirtualHosts, maxUses)
	return Uses{VirtualHosts: hosts, Clusters: merged(a.Clusters, b.Clusters, maxUses-len(hosts))}
}

func merged(a, b []string, limit int) []string {
	out := slices.Concat(a, b)
	out = slices.DeleteFunc(out, func(name string) bool { return name == "" || len(name) > maxName })
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.Clip(out[:min(len(out), limit)])
}

func equal(a, b Uses) bool {
	return slices.Equal(a.VirtualHosts, b.VirtualHosts) && slices.Equal(a.Clusters, b.Clusters)
}

func (w Workload) compare(other Workload) int {
	return cmp.Or(
		strings.Compare(w.Cluster, other.Cluster),
		strings.Compare(w.Namespace, other.Namespace),
		strings.Compare(w.Name, other.Name),
	)
}

// place is the number of the page that keeps a workload, and its key there: readable
// as far as it goes, and different for each workload.
func (w Workload) place() (number int, key string) {
	sum := sha256.Sum256([]byte(w.Cluster + "\x00" + w.Namespace + "\x00" + w.Name))
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, w.Namespace+"."+w.Name)
	return int(sum[0]) % Pages, readable[:min(len(readable), 128)] + "." + hex.EncodeToString(sum[1:9])
}

// parse reads an entry; one that is not in its place or says nonsense is none.
func parse(key, text string) (Workload, *entry) {
	e := &entry{}
	if json.Unmarshal([]byte(text), e) != nil {
		return Workload{}, nil
	}
	w := Workload{e.Cluster, e.Namespace, e.Workload}
	if _, want := w.place(); want != key {
		return Workload{}, nil
	}
	if _, err := time.Parse(dateLayout, e.Used); err != nil {
		e.Used = ""
	}
	e.Uses = union(e.Uses, Uses{})
	return w, e
}

func (e *entry) text() (string, error) {
	out, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode what a workload uses: %w", err)
	}
	return string(out), nil
}

// age is how long ago the entry was of use; one without a day is new.
func (e *entry) age(now time.Time) time.Duration {
	used, err := time.Parse(dateLayout, e.Used)
	if err != nil {
		return 0
	}
	return now.Sub(used)
}
