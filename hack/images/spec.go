// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// spec describes one image: a static binary of ours, and what Envoy and the
// iptables tools need from the system where they are in it.
type spec struct {
	name    string
	title   string
	pkg     string // Go package of the entry point, relative to the module
	command string // name in /usr/local/bin
	user    int    // numeric, so that runAsNonRoot can be checked before start
	filter  bool   // with the iptables tools and their libraries
	proxy   bool   // with Envoy and its libraries
}

// Users of the images; numeric ids because Kubernetes checks runAsNonRoot by
// number only.
const (
	rootUser    = 0 // who enters the pods' network namespaces
	nonRootUser = 65532
	proxyUser   = 1337 // traffic of this user is not captured again
)

// specs is every image of the project.
var specs = []spec{
	{name: "operator", title: "Meshwright operator", pkg: "./cmd/operator", command: "operator", user: nonRootUser},
	{name: "controlplane", title: "Meshwright control plane", pkg: "./cmd/controlplane", command: "controlplane", user: nonRootUser},
	{name: "proxy", title: "Meshwright proxy: agent and Envoy", pkg: "./cmd/agent", command: "agent", user: proxyUser, filter: true, proxy: true},
	{name: "cni", title: "Meshwright CNI plugin and its agent of a node", pkg: "./cmd/cni", command: "cni", user: rootUser, filter: true},
	{name: "bookinfo", title: "Meshwright sample: a book shop", pkg: "./samples/bookinfo", command: "bookinfo", user: nonRootUser},
	{name: "echo", title: "Meshwright sample: echo server and client", pkg: "./samples/echo", command: "echo", user: nonRootUser},
}

// selected returns the named specs in the table's order, all for no name.
func selected(names []string) ([]spec, error) {
	if len(names) == 0 {
		return specs, nil
	}
	var out []spec
	var known []string
	for _, s := range specs {
		known = append(known, s.name)
		if slices.Contains(names, s.name) {
			out = append(out, s)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("no image named %q: there are %s", n, strings.Join(known, ", "))
		}
	}
	return out, nil
}
