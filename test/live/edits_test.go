// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/edit"
)

var (
	edits   = flag.Int("edits", 400, "how many random edits TestEdits makes")
	proxies = flag.Int("proxies", 4, "how many proxies it runs")
	seed    = flag.Uint64("seed", 1, "what it begins with; the same edits follow from the same seed")
)

// checkEvery is how many edits are made between two comparisons.
const checkEvery = 50

// TestEdits edits a mesh at random while proxies run, half of them of the Envoy before. No proxy refuses anything, and
// whenever it is asked, each holds what one that starts now is sent.
func TestEdits(t *testing.T) {
	corpus, err := edit.Read("../scenario/testdata")
	if err != nil {
		t.Fatal(err)
	}
	w := New(t)
	places := w.populate(corpus)
	authority := NewAuthority(t, "edits")
	for _, name := range corpus.Strings("credential_name") {
		w.Secret(RootNamespace, name, authority.Issue(Leaf{DNS: []string{"example.com", "*.example.com"}}).Secret())
	}
	pods := make([]*Pod, *proxies)
	for i := range pods {
		spec := places[i%len(places)]
		spec.Name = fmt.Sprintf("%s-%d", spec.Name, i)
		spec.Previous = i/2%2 == 1
		if i%4 < 3 {
			spec.Annotations = map[string]string{ir.AnnotationDiscoveryScope: "full"}
		}
		pods[i] = w.Start(spec)
	}
	chance := rand.New(rand.NewPCG(*seed, 0))
	editor := edit.NewEditor(corpus, chance, clusterDomain, 3)
	refused := 0
	for i := range *edits {
		e := editor.Next()
		if e.Manifest == "" {
			w.Delete(e.Kind, e.Namespace, e.Name)
		} else {
			w.Apply(local.Replace(e.Manifest))
		}
		if chance.IntN(8) == 0 {
			pods[chance.IntN(len(pods))].Unready(chance.IntN(2) == 0)
		}
		if (i+1)%checkEvery != 0 && i+1 != *edits {
			continue
		}
		w.Eventually(fmt.Sprintf("after edit %d of seed %d", i, *seed), func() error { return settled(pods) })
		if now := w.Refused(); len(now) > refused {
			t.Errorf("until edit %d of seed %d, which is\n%s\nproxies refused\n%s", i, *seed, e, strings.Join(now[refused:], "\n"))
			refused = len(now)
		}
	}
	t.Logf("%d edits, %d refused by admission, %d proxies, %d problems told at the end", *edits, editor.Refused, len(pods), len(w.Problems()))
}

// settled is an error while one of the proxies does not hold what it should.
func settled(pods []*Pod) error {
	var g errgroup.Group
	for _, p := range pods {
		g.Go(func() error {
			held, err := p.Held()
			if err != nil {
				return err
			}
			due, err := p.Due(held)
			if err != nil {
				return err
			}
			if d := held.Differences(due); len(d) > 0 {
				return fmt.Errorf("%s differs in %d places:\n%s\nrefused: %q", p.Name, len(d), strings.Join(d[:min(len(d), 12)], "\n"), p.world.Refused())
			}
			return nil
		})
	}
	return g.Wait()
}

// local puts what proxies of this machine can bind into the place of what the corpus names.
// Its pods have networks of their own, but its files.
var local = strings.NewReplacer("unix:///", "unix://@", "172.16.1.32", "127.0.0.32")

// populate applies each Service of the corpus once, with an address of its own, and
// returns where proxies can run.
func (w *World) populate(c *edit.Corpus) []Spec {
	w.t.Helper()
	places := []Spec{{Namespace: RootNamespace, Name: "ingress", Labels: map[string]string{"istio": "ingressgateway"}, Proxy: node.Router}}
	known := map[string]bool{}
	address := netip.MustParseAddr("10.96.1.0")
	for _, text := range c.Services() {
		var s corev1.Service
		w.must(yaml.Unmarshal([]byte(text), &s))
		if known[s.Namespace+"/"+s.Name] {
			continue
		}
		known[s.Namespace+"/"+s.Name] = true
		if a, err := netip.ParseAddr(s.Spec.ClusterIP); err == nil && a.Is4() {
			address = address.Next()
			s.Spec.ClusterIP, s.Spec.ClusterIPs = address.String(), nil
		}
		body, err := yaml.Marshal(&s)
		w.must(err)
		w.Apply(string(body))
		if len(s.Spec.Selector) > 0 && s.Namespace != RootNamespace {
			places = append(places, Spec{Namespace: s.Namespace, Name: s.Name, Labels: s.Spec.Selector, Proxy: node.Sidecar})
		}
	}
	return places
}
