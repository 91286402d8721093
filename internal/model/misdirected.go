// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/http"
	"slices"
	"strings"
)

// Clients send requests for several hosts on one connection when its certificate
// covers them all. A request for a host of another server of the port must not be
// served where it came: that server may ask for certificates of clients. 421 makes
// clients send it again on a connection of its own.
// See https://www.rfc-editor.org/rfc/rfc9110#section-15.5.20.

// misdirect gives the hosts of a TLS port their answers: 421 for what belongs to
// the server of another name, 404 for what belongs here and has no routes.
func (p *GatewayPort) misdirect(out map[string]map[string]*gatewayHost) {
	owners := map[string]*GatewayServer{}
	for i := range p.Servers {
		for _, name := range p.Servers[i].ServerNames {
			owners[name] = &p.Servers[i]
		}
	}
	for i := range p.Servers {
		s := &p.Servers[i]
		if !s.Server.IsHTTP() {
			continue
		}
		hosts := out[s.RouteConfig]
		for host, gh := range hosts {
			if owner(owners, host) != s {
				*gh = gatewayHost{Answer: http.StatusMisdirectedRequest}
			}
		}
		answer := func(host string, status uint32) {
			if hosts[host] == nil {
				hosts[host] = &gatewayHost{Answer: status}
			}
		}
		for _, name := range s.ServerNames {
			answer(name, http.StatusNotFound)
			if !strings.HasPrefix(name, "*") {
				continue
			}
			for other, o := range owners {
				if o != s && covers(name, other) {
					answer(other, http.StatusMisdirectedRequest)
				}
			}
		}
		if !slices.Contains(s.ServerNames, "*") {
			answer("*", http.StatusMisdirectedRequest)
		}
	}
}

// owner is the server that gets connections with a server name, or with every
// name that a pattern stands for.
func owner(owners map[string]*GatewayServer, host string) *GatewayServer {
	if s := owners[host]; s != nil {
		return s
	}
	for _, pattern := range wildcards(host) {
		if s := owners[pattern]; s != nil {
			return s
		}
	}
	return nil
}
