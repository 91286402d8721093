// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"strings"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// places knows where pods are, for proxies that do not say it themselves. A proxy is
// asked for its class when its stream begins, on the stream's own goroutine, so this
// is kept beside the tables. A pod has its node before it has a proxy.
type places struct {
	mu    sync.RWMutex
	nodes map[ir.NodeKey]ir.Locality
	pods  map[ir.ObjectKey]string // their nodes
}

func newPlaces() *places {
	return &places{nodes: map[ir.NodeKey]ir.Locality{}, pods: map[ir.ObjectKey]string{}}
}

// learn takes what changed of pods and nodes.
func (p *places) learn(b *intake.Batch) {
	if len(b.Pods) == 0 && len(b.Nodes) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, pod := range b.Pods {
		if pod == nil || pod.Node == "" {
			delete(p.pods, k)
		} else {
			p.pods[k] = pod.Node
		}
	}
	for k, n := range b.Nodes {
		if n == nil || n.Locality == (ir.Locality{}) {
			delete(p.nodes, k)
		} else {
			p.nodes[k] = n.Locality
		}
	}
}

// classOf is the class of a proxy and its key.
func (p *places) classOf(node *corev3.Node) (string, *ir.Class, error) {
	c, err := classOf(node)
	if err != nil {
		return "", nil, err
	}
	c.Locality = p.of(node, c)
	return classKey(c), c, nil
}

// of is where a proxy is: what it says, else where its pod's node is. Places with
// characters that no label may have do not count.
func (p *places) of(node *corev3.Node, class *ir.Class) ir.Locality {
	if l := node.GetLocality(); l != nil {
		own := ir.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
		if strings.ContainsAny(own.Region+own.Zone+own.SubZone, "/@") {
			return ir.Locality{}
		}
		if own != (ir.Locality{}) {
			return own
		}
	}
	parts := strings.Split(node.GetId(), "~")
	if len(parts) != 4 {
		return ir.Locality{}
	}
	name := strings.TrimSuffix(parts[2], "."+class.Namespace)
	p.mu.RLock()
	defer p.mu.RUnlock()
	host, ok := p.pods[ir.ObjectKey{Cluster: class.Cluster, Namespace: class.Namespace, Name: name}]
	if !ok {
		return ir.Locality{}
	}
	return p.nodes[ir.NodeKey{Cluster: class.Cluster, Name: host}]
}
