// SPDX-License-Identifier: Apache-2.0

//go:build linux

package live

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/xds"
)

// View is what a proxy holds: TYPE NAME to what tells two versions apart. Clusters are
// told by their version; listeners by their content, because one that Envoy updates in
// place keeps the version that it began with; route configurations and their hosts,
// which Envoy joins, by their content; assignments by their addresses.
type View map[string]string

func (v View) put(typ, name, content string) {
	v[typ[strings.LastIndexByte(typ, '.')+1:]+" "+name] = content
}

// Differences are the entries that only one of the two has, or that differ.
func (v View) Differences(from View) []string {
	var out []string
	for k, content := range v {
		if other, ok := from[k]; !ok {
			out = append(out, "+ "+k)
		} else if other != content {
			out = append(out, fmt.Sprintf("~ %s\n    %s\n    %s", k, other, content))
		}
	}
	for k := range from {
		if _, ok := v[k]; !ok {
			out = append(out, "- "+k)
		}
	}
	slices.Sort(out)
	return out
}

// dump is the part of Envoy's /config_dump that came by discovery.
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/admin/v3/config_dump_shared.proto.
type dump struct {
	Configs []struct {
		Clusters []struct {
			Version string `json:"version_info"`
			Cluster struct {
				Name string
				EDS  *struct {
					Service string `json:"service_name"`
				} `json:"eds_cluster_config"`
			}
		} `json:"dynamic_active_clusters"`
		Warming   []json.RawMessage `json:"dynamic_warming_clusters"`
		Listeners []struct {
			Name   string
			Active *struct {
				Listener json.RawMessage
			} `json:"active_state"`
			Warming *json.RawMessage `json:"warming_state"`
		} `json:"dynamic_listeners"`
		Routes []struct {
			Config json.RawMessage `json:"route_config"`
		} `json:"dynamic_route_configs"`
		Endpoints []struct {
			Config json.RawMessage `json:"endpoint_config"`
		} `json:"dynamic_endpoint_configs"`
	}
}

// Held is what the proxy has in effect. It is an error when something is still warming.
func (p *Pod) Held() (View, error) {
	var d dump
	text := p.Admin("/config_dump?include_eds")
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("config_dump of %s: %w: %.200s", p.Name, err, text)
	}
	v, subscribed := View{}, map[string]bool{}
	for _, c := range d.Configs {
		if len(c.Warming) > 0 {
			return nil, fmt.Errorf("%s: %d clusters are warming", p.Name, len(c.Warming))
		}
		for _, x := range c.Clusters {
			v.put(xds.ClusterType, x.Cluster.Name, x.Version)
			if x.Cluster.EDS != nil {
				subscribed[cmp.Or(x.Cluster.EDS.Service, x.Cluster.Name)] = true
			}
		}
		for _, x := range c.Listeners {
			if x.Warming != nil {
				return nil, fmt.Errorf("%s: listener %s is warming: %s", p.Name, x.Name, p.Admin("/init_dump"))
			}
			if x.Active == nil {
				continue
			}
			if err := v.putText(xds.ListenerType, x.Name, x.Active.Listener, &listenerv3.Listener{}); err != nil {
				return nil, err
			}
		}
		for _, x := range c.Routes {
			var r routev3.RouteConfiguration
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(x.Config, &r); err != nil {
				return nil, fmt.Errorf("config_dump of %s: %w", p.Name, err)
			}
			if err := v.putRoutes(&r); err != nil {
				return nil, err
			}
		}
		for _, x := range c.Endpoints {
			var a endpointv3.ClusterLoadAssignment
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(x.Config, &a); err != nil {
				return nil, fmt.Errorf("config_dump of %s: %w", p.Name, err)
			}
			if subscribed[a.ClusterName] { // Envoy shows one of each other cluster, too
				v.putAssignment(&a)
			}
		}
	}
	return v, nil
}

func (v View) putRoutes(c *routev3.RouteConfiguration) error {
	for _, h := range c.VirtualHosts {
		if err := v.putHost(c.Name, h); err != nil {
			return err
		}
	}
	c.VirtualHosts = nil
	content, err := canonical(c)
	v.put(xds.RouteType, c.Name, content)
	return err
}

func (v View) putHost(config string, h *routev3.VirtualHost) error {
	content, err := canonical(h)
	v.put(xds.VirtualHostType, config+" "+h.Name, content)
	return err
}

func (v View) putText(typ, name string, text []byte, m proto.Message) error {
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, m); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	content, err := canonical(m)
	v.put(typ, name, content)
	return err
}

func (v View) putBody(typ, name string, body []byte, m proto.Message) error {
	if err := proto.Unmarshal(body, m); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	content, err := canonical(m)
	v.put(typ, name, content)
	return err
}

// canonical is without the spaces that protojson adds by chance.
func canonical(m proto.Message) (string, error) {
	content, err := protojson.Marshal(m)
	if err != nil {
		return "", err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, content)
	return compact.String(), err
}

// putAssignment takes of equal addresses the first, as Envoy does.
func (v View) putAssignment(a *endpointv3.ClusterLoadAssignment) {
	var addresses []string
	known := map[string]bool{}
	for _, l := range a.Endpoints {
		for _, e := range l.LbEndpoints {
			s := e.GetEndpoint().GetAddress().GetSocketAddress()
			at := fmt.Sprint(s.GetAddress(), " ", s.GetPortValue())
			if known[at] {
				continue
			}
			known[at] = true
			addresses = append(addresses, fmt.Sprintf("%d/%s/%s:%d", l.Priority, l.GetLocality().GetZone(), s.GetAddress(), s.GetPortValue()))
		}
	}
	slices.Sort(addresses)
	v.put(xds.EndpointType, a.ClusterName, strings.Join(addresses, ","))
}

// quiet is how long nothing must come, after an answer for each type, for all to be whole.
const quiet = 250 * time.Millisecond

// Due is what a proxy of the pod's class is sent that connects now with the listeners of
// another view, each of a version that is out of date. It subscribes to the names that the
// view has.
func (p *Pod) Due(held View) (View, error) {
	w := p.world
	message, err := p.message(p.Name + "-again")
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("unix:"+w.discovery(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	names, asked := held.names(), map[string]bool{}
	for _, typ := range []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.RouteType, xds.VirtualHostType} {
		wild := typ == xds.ClusterType || typ == xds.ListenerType
		if len(names[typ]) == 0 && !wild {
			continue
		}
		request := &discoveryv3.DeltaDiscoveryRequest{Node: message, TypeUrl: typ}
		if !wild {
			request.ResourceNamesSubscribe = names[typ]
		}
		if typ == xds.ListenerType { // who asks may keep what a newcomer is not sent
			request.InitialResourceVersions = held.versions(typ)
		}
		asked[typ] = true
		if err := stream.Send(request); err != nil {
			return nil, err
		}
	}
	return gather(stream, asked)
}

// names are what Envoy subscribes to by name.
func (v View) names() map[string][]string {
	out := map[string][]string{}
	for k := range v {
		switch kind, name, _ := strings.Cut(k, " "); kind {
		case "ClusterLoadAssignment":
			out[xds.EndpointType] = append(out[xds.EndpointType], name)
		case "RouteConfiguration":
			out[xds.RouteType] = append(out[xds.RouteType], name)
			out[xds.VirtualHostType] = append(out[xds.VirtualHostType], name)
		case "VirtualHost": // as a proxy does that asks for the hosts that it needs
			_, host, _ := strings.Cut(name, " ")
			out[xds.VirtualHostType] = append(out[xds.VirtualHostType], host)
		}
	}
	return out
}

// versions are resources of a type with versions that none has.
func (v View) versions(typ string) map[string]string {
	out := map[string]string{}
	for k := range v {
		if kind, name, _ := strings.Cut(k, " "); strings.HasSuffix(typ, "."+kind) {
			out[name] = "out of date"
		}
	}
	return out
}

// gather takes answers until each type that was asked for has one and no more come.
func gather(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, asked map[string]bool) (View, error) {
	v := View{}
	answers, failed := make(chan *discoveryv3.DeltaDiscoveryResponse), make(chan error, 1)
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case answers <- answer:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		patience := quiet
		if len(asked) > 0 {
			patience = Patience
		}
		select {
		case err := <-failed:
			return nil, err
		case <-time.After(patience):
			if len(asked) > 0 {
				return nil, fmt.Errorf("no answer for %v", slices.Collect(maps.Keys(asked)))
			}
			return v, nil
		case answer := <-answers:
			delete(asked, answer.TypeUrl)
			if err := v.take(answer); err != nil {
				return nil, err
			}
			ack := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: answer.TypeUrl, ResponseNonce: answer.Nonce}
			if err := stream.Send(ack); err != nil {
				return nil, err
			}
		}
	}
}

func (v View) take(answer *discoveryv3.DeltaDiscoveryResponse) error {
	for _, r := range answer.Resources {
		switch answer.TypeUrl {
		case xds.VirtualHostType:
			var h routev3.VirtualHost
			if r.Resource == nil {
				continue
			}
			if err := proto.Unmarshal(r.Resource.Value, &h); err != nil {
				return err
			}
			config, _, _ := strings.Cut(r.Name, "/")
			if err := v.putHost(config, &h); err != nil {
				return err
			}
		case xds.EndpointType:
			var a endpointv3.ClusterLoadAssignment
			if err := proto.Unmarshal(r.Resource.Value, &a); err != nil {
				return err
			}
			v.putAssignment(&a)
		case xds.RouteType:
			var c routev3.RouteConfiguration
			if err := proto.Unmarshal(r.Resource.Value, &c); err != nil {
				return err
			}
			if err := v.putRoutes(&c); err != nil {
				return err
			}
		case xds.ListenerType:
			if err := v.putBody(answer.TypeUrl, r.Name, r.Resource.Value, &listenerv3.Listener{}); err != nil {
				return err
			}
		default:
			v.put(answer.TypeUrl, r.Name, r.Version)
		}
	}
	return nil
}
