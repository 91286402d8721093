// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	matcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	socketv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/transport_socket/v3"
)

const stateCluster = "envoy.tcp_proxy.cluster"

// stateOf is what the filters in front of the last one note of a connection.
func (p *Proxy) stateOf(filters []*listenerv3.Filter, c *Call) (map[string]string, error) {
	state := map[string]string{}
	for _, f := range filters {
		config := f.GetTypedConfig()
		if f.GetConfigDiscovery() != nil {
			config = p.extensions[f.Name]
		}
		m := &setstatev3.Config{}
		if err := config.UnmarshalTo(m); err != nil {
			return nil, err
		}
		for _, v := range m.OnNewConnection {
			value, err := evaluate(v.GetFormatString().GetTextFormatSource().GetInlineString(), c)
			if err != nil {
				return nil, err
			}
			if value != "" || !v.SkipIfEmpty {
				state[v.GetObjectKey()] = value
			}
		}
	}
	return state, nil
}

var ifDialled = regexp.MustCompile(`^%CEL\(destination\.address in \[(.*)\] \? '(.*)' : ''\)%$`)

// evaluate knows the kinds of values that are in use: a text, perhaps with the server
// name or the address, and a text for connections to some addresses.
func evaluate(format string, c *Call) (string, error) {
	format = strings.ReplaceAll(format, "%REQUESTED_SERVER_NAME%", strings.ToLower(c.Host))
	format = strings.ReplaceAll(format, "%DOWNSTREAM_LOCAL_ADDRESS%", c.Addr.String())
	if !strings.Contains(format, "%") {
		return format, nil
	}
	m := ifDialled.FindStringSubmatch(format)
	if m == nil {
		return "", fmt.Errorf("the value %q is of no kind that is known here", format)
	}
	if slices.Contains(strings.Split(m[1], ","), "'"+c.Addr.String()+"'") {
		return m[2], nil
	}
	return "", nil
}

// inspected is the protocol that the listener's filters find.
func inspected(l *listenerv3.Listener, c *Call) string {
	for _, f := range l.ListenerFilters {
		if f.Name == "envoy.filters.listener.http_inspector" && c.HTTP && !c.TLS {
			return "http/1.1"
		}
	}
	return c.ALPN
}

// transports is what the transports of clusters that choose one are called in answers.
var transports = map[string]string{"mesh": " by mutual TLS", "mesh-requests": " by mutual TLS that says requests"}

// transport is how a cluster speaks that decides by the state of the connection and
// the labels of its endpoints, of which the first stands for all.
func (p *Proxy) transport(name string, m *matcher.Matcher) string {
	value, err := p.input(name, m.GetMatcherTree().GetInput())
	if err != nil {
		return err.Error()
	}
	chosen := m.OnNoMatch
	if found := m.GetMatcherTree().GetExactMatchMap().GetMap()[value]; found != nil {
		chosen = found
	}
	if chosen.GetMatcher() != nil {
		return p.transport(name, chosen.GetMatcher())
	}
	action := &socketv3.TransportSocketNameAction{}
	if err := chosen.GetAction().GetTypedConfig().UnmarshalTo(action); err != nil {
		return err.Error()
	}
	return transports[action.Name]
}

func (p *Proxy) input(cluster string, in *xdscore.TypedExtensionConfig) (string, error) {
	m, err := in.GetTypedConfig().UnmarshalNew()
	if err != nil {
		return "", err
	}
	switch m := m.(type) {
	case *socketv3.FilterStateInput:
		return p.state[m.Key], nil
	case *socketv3.EndpointMetadataInput:
		return p.labels[cluster].GetFilterMetadata()[m.Filter].GetFields()[m.Path[0].GetKey()].GetStringValue(), nil
	}
	return "", fmt.Errorf("unknown input %T", m)
}
