// SPDX-License-Identifier: Apache-2.0

package intake

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

// addConfigs lists what is read of traffic and security configuration.
func (c *Cluster) addConfigs() error {
	networking, err := objectClient(c.options.Config, schema.GroupVersion{Group: "networking.istio.io", Version: "v1"},
		projection.KindVirtualService, projection.KindDestinationRule, projection.KindGateway)
	if err != nil {
		return err
	}
	security, err := objectClient(c.options.Config, schema.GroupVersion{Group: "security.istio.io", Version: "v1"},
		projection.KindPeerAuthentication)
	if err != nil {
		return err
	}
	scope := c.options.Scope
	config(c, networking, "virtualservices", projection.KindVirtualService, scope.VirtualService,
		func(b *Batch, k ir.ConfigKey, r *ir.Routes) { b.Routes[k] = r })
	config(c, networking, "destinationrules", projection.KindDestinationRule, scope.DestinationRule,
		func(b *Batch, k ir.ConfigKey, r *ir.TrafficPolicy) { b.Policies[k] = r })
	config(c, networking, "gateways", projection.KindGateway, scope.Gateway,
		func(b *Batch, k ir.ConfigKey, r *ir.Gateway) { b.Gateways[k] = r })
	config(c, security, "peerauthentications", projection.KindPeerAuthentication, scope.PeerAuthentication,
		func(b *Batch, k ir.ConfigKey, r *ir.PeerAuthentication) { b.PeerAuthentications[k] = r })
	return nil
}

// config adds a kind whose objects get status. A spec that cannot be decoded is
// reported, and what the object said before stays in effect.
func config[R any](
	c *Cluster, client rest.Interface, resource, kind string,
	project func(meta *metav1.ObjectMeta, spec []byte) (*R, []ir.Problem, error),
	put func(*Batch, ir.ConfigKey, *R),
) {
	origin := func(name string) ir.Origin {
		k := configKey(name)
		return ir.Origin{Kind: kind, Namespace: k.Namespace, Name: k.Name}
	}
	t := &table[*object, ir.ConfigKey, R]{
		inbox: c.Inbox,
		project: func(o *object) projected[R] {
			row, problems, err := project(&o.ObjectMeta, o.Spec)
			if err != nil {
				problems = []ir.Problem{projection.Malformed(kind, &o.ObjectMeta, err)}
			}
			return projected[R]{
				row:    row,
				keep:   err != nil,
				status: &ConfigStatus{Generation: o.Generation, Problems: problems},
				remark: []byte(o.Status),
			}
		},
		key:    configKey,
		put:    put,
		origin: origin,
		rows:   map[string]held[R]{},
	}
	c.configs[kind] = t
	s := c.add(&source{client: client, resource: resource, example: &object{}, store: t, absent: missing})
	t.synced = s.read
}
