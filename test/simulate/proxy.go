// SPDX-License-Identifier: Apache-2.0

// Package simulate answers what a proxy would do with a call, from the resources
// that it was sent. It follows Envoy's rules for choosing a listener, a filter
// chain, a virtual host and a route, so that tests can speak of behaviour instead
// of configuration.
package simulate

import (
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Resource is one message that a proxy holds.
type Resource struct {
	Type string // URL
	Name string
	Body []byte
}

// Proxy is the state of one proxy.
type Proxy struct {
	listeners map[string]*listenerv3.Listener // by ADDRESS:PORT, with udp: before it
	routes    map[string]*routev3.RouteConfiguration
	hosts     map[string][]*routev3.VirtualHost // by route configuration
	clusters  map[string]*clusterv3.Cluster
	endpoints map[string]int              // how many, by assignment
	labels    map[string]*corev3.Metadata // of the first endpoint
	secrets   map[string]bool

	extensions map[string]*anypb.Any // configurations of filters
	state      map[string]string     // of the connection that is looked at

	// Ask is how the proxy gets what a request lacks; nil: it does not ask. It
	// gives the resources that come with the answer.
	Ask func(typ, name string) []Resource
}

// ask adds the answer to a question to what the proxy holds.
func (p *Proxy) ask(typ, name string) {
	if p.Ask == nil {
		return
	}
	for _, r := range p.Ask(typ, name) {
		if err := p.add(r); err != nil {
			panic(err) // the resource came from the engine, which read it as well
		}
	}
}

// New reads what a proxy was sent. It refuses what Envoy would refuse as a whole:
// a domain that two virtual hosts of one route configuration have.
func New(resources []Resource) (*Proxy, error) {
	p := &Proxy{
		listeners: map[string]*listenerv3.Listener{},
		routes:    map[string]*routev3.RouteConfiguration{},
		hosts:     map[string][]*routev3.VirtualHost{},
		clusters:  map[string]*clusterv3.Cluster{},
		endpoints: map[string]int{},
		labels:    map[string]*corev3.Metadata{},
		secrets:   map[string]bool{},

		extensions: map[string]*anypb.Any{},
	}
	for _, r := range resources {
		if err := p.add(r); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Type, r.Name, err)
		}
	}
	for name, rc := range p.routes {
		p.hosts[name] = append(p.hosts[name], rc.VirtualHosts...)
		switch {
		case rc.Vhds == nil && len(p.hosts[name]) > len(rc.VirtualHosts):
			return nil, fmt.Errorf("route configuration %s has virtual hosts that it never asks for", name)
		case rc.Vhds != nil && len(p.hosts[name]) == 0:
			return nil, fmt.Errorf("route configuration %s has no virtual host, for which its listener would wait", name)
		}
	}
	for name, hosts := range p.hosts {
		owner := map[string]string{}
		for _, h := range hosts {
			for _, d := range h.Domains {
				if other, taken := owner[d]; taken {
					return nil, fmt.Errorf("route configuration %s: virtual hosts %s and %s both have the domain %s", name, other, h.Name, d)
				}
				owner[d] = h.Name
			}
		}
	}
	return p, nil
}

func (p *Proxy) add(r Resource) error {
	switch r.Type {
	case resource.ListenerType:
		m, err := parse(r.Body, &listenerv3.Listener{})
		p.listen(m, m.GetAddress())
		for _, also := range m.GetAdditionalAddresses() {
			p.listen(m, also.Address)
		}
		return err
	case resource.RouteType:
		m, err := parse(r.Body, &routev3.RouteConfiguration{})
		p.routes[r.Name] = m
		return err
	case resource.VirtualHostType:
		m, err := parse(r.Body, &routev3.VirtualHost{})
		config, _, ok := strings.Cut(r.Name, "/")
		if !ok {
			return fmt.Errorf("the name is not ROUTECONFIG/HOST")
		}
		p.hosts[config] = append(p.hosts[config], m)
		return err
	case resource.ClusterType:
		m, err := parse(r.Body, &clusterv3.Cluster{})
		p.clusters[r.Name] = m
		return err
	case resource.ExtensionConfigType:
		m, err := parse(r.Body, &corev3.TypedExtensionConfig{})
		p.extensions[r.Name] = m.GetTypedConfig()
		return err
	case resource.SecretType:
		p.secrets[r.Name] = true
	case resource.EndpointType:
		m, err := parse(r.Body, &endpointv3.ClusterLoadAssignment{})
		p.endpoints[r.Name] = 0
		for _, l := range m.GetEndpoints() {
			if p.endpoints[r.Name] == 0 && len(l.LbEndpoints) > 0 {
				p.labels[r.Name] = l.LbEndpoints[0].Metadata
			}
			p.endpoints[r.Name] += len(l.LbEndpoints)
		}
		return err
	}
	return nil
}

func parse[M proto.Message](body []byte, m M) (M, error) { return m, proto.Unmarshal(body, m) }

// network is what addresses of UDP begin with.
func network(datagrams bool) string {
	if datagrams {
		return "udp:"
	}
	return ""
}

func address(host string, port uint32) string { return fmt.Sprintf("%s:%d", host, port) }
