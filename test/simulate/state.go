// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
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
// name, and a text for connections to some addresses.
func evaluate(format string, c *Call) (string, error) {
	format = strings.ReplaceAll(format, "%REQUESTED_SERVER_NAME%", strings.ToLower(c.Host))
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

// transport is how a cluster speaks that decides by the state of the connection.
func (p *Proxy) transport(c *clusterv3.Cluster) string {
	tree := c.TransportSocketMatcher.GetMatcherTree()
	input, action := &socketv3.FilterStateInput{}, &socketv3.TransportSocketNameAction{}
	if err := tree.GetInput().GetTypedConfig().UnmarshalTo(input); err != nil {
		return err.Error()
	}
	chosen := c.TransportSocketMatcher.OnNoMatch
	if found := tree.GetExactMatchMap().GetMap()[p.state[input.Key]]; found != nil {
		chosen = found
	}
	if err := chosen.GetAction().GetTypedConfig().UnmarshalTo(action); err != nil {
		return err.Error()
	}
	return action.Name
}
