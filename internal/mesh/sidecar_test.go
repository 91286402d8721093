// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"slices"
	"testing"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

var sidecarKey = ir.ConfigKey{Namespace: "apps", Name: "x"}

// telling is a Sidecar that tells the sidecars of its namespace of some hosts.
func telling(hosts ...string) *ir.Sidecar {
	out := &ir.Sidecar{Origin: ir.Origin{Kind: "Sidecar", Namespace: "apps", Name: "x"}}
	for _, h := range hosts {
		out.Imports = append(out.Imports, ir.HostPattern{Namespace: ir.OwnNamespace, Host: h})
	}
	return out
}

// tellingAt tells of one host more, at a port alone.
func tellingAt(port uint16, host string) *ir.Sidecar {
	out := telling("svc-1")
	out.Ports = []ir.PortHosts{{Port: port, HostList: ir.HostList{Imports: []ir.HostPattern{{Namespace: ir.OwnNamespace, Host: host}}}}}
	return out
}

// elsewhere is routes of another namespace than their host's.
func elsewhere(weight uint32) map[ir.ConfigKey]*ir.Routes {
	out := routes(weight)
	out.Origin.Namespace = "ops"
	return map[ir.ConfigKey]*ir.Routes{out.Origin.Key(): out}
}

// refusing is a Sidecar that refuses unknown traffic, or sends it to a proxy.
func refusing(refuses bool) *ir.Sidecar {
	out := telling("*")
	out.All, out.Imports = true, nil
	out.Unknown = &ir.Unknown{Refused: refuses, Origin: out.Origin}
	if !refuses {
		out.Unknown.Proxy = ir.ClusterKey{Host: host(1), Port: 8080}
	}
	return out
}

func sidecarBudgets() []budget {
	only := func(s *ir.Sidecar) map[ir.ConfigKey]*ir.Sidecar { return map[ir.ConfigKey]*ir.Sidecar{sidecarKey: s} }
	entries := entryBudgets()
	// What no Sidecar lists costs what it does without any.
	unlisted := entries[slices.IndexFunc(entries, func(b budget) bool { return b.name == "a new ServiceEntry" })]
	unlisted.name = "a new ServiceEntry that no Sidecar lists"
	unlisted.before.Sidecars = only(telling("svc-1"))
	return []budget{unlisted, {
		name:      "a host that a Sidecar lists",
		before:    intake.Batch{Sidecars: only(telling("svc-1"))},
		change:    intake.Batch{Sidecars: only(telling("svc-1", "svc-2"))},
		evaluated: map[string]int{"sidecarRules": 1, "sidecars.chosen": 1, "listings": 1, "imported": 1, "unknowns": 1, "sidecars.ingress": 1, "sidecars.egress": 1, "scopes": 1, "sidecarReferences": 1},
	}, {
		name:      "a host that a Sidecar lists for a port",
		before:    intake.Batch{Sidecars: only(telling("svc-1"))},
		change:    intake.Batch{Sidecars: only(tellingAt(8080, "svc-2"))},
		evaluated: map[string]int{"sidecarRules": 1, "sidecars.chosen": 1, "listings": 1, "imported": 1, "unknowns": 1, "sidecars.ingress": 1, "sidecars.egress": 1, "scopes": 1, "sidecarReferences": 1},
	}, {
		// The layer of the Sidecar, for whose sidecars they do not count, stays as it is.
		name:   "the weight of routes that a Sidecar leaves out",
		before: intake.Batch{Sidecars: only(telling("*")), Routes: elsewhere(90)},
		change: intake.Batch{Routes: elsewhere(80)},
		evaluated: map[string]int{
			"routesMerged": 1, "routesWeighed": 1, "routesSettled": 1, "virtualHosts": 1, "routeReferences": 1, "resource.virtualHosts": 2,
		},
		sent: []string{"set mesh VirtualHost 8080/" + host(1), "set namespace/apps VirtualHost 8080/" + host(1)},
	}, {
		name:   "what becomes of unknown traffic by a Sidecar",
		before: intake.Batch{Sidecars: only(refusing(false))},
		change: intake.Batch{Sidecars: only(refusing(true))},
		evaluated: map[string]int{
			"sidecarRules": 1, "sidecars.chosen": 1, "listings": 1, "unknowns": 1, "sidecars.ingress": 1, "sidecars.egress": 1, "scopes": 1, "sidecarReferences": 1,
			"captures": 1, "rests.sidecars": 1, "rests": 1, "ports.sidecars": 1, "portListeners": 1,
			"resource.captures": 1, "resource.rests": 1, "resource.portListeners": 1,
		},
		sent: []string{
			"set sidecar/apps/apps/x Cluster UnknownCluster", "set sidecar/apps/apps/x Listener 0.0.0.0_8080", "set sidecar/apps/apps/x Listener virtualOutbound",
			"set sidecar/apps/apps/x VirtualHost 8080/*",
		},
	}}
}

// TestSidecarsOfANamespaceShareTheirHosts: the hosts are looked for once for all
// workloads that one Sidecar holds for.
func TestSidecarsOfANamespaceShareTheirHosts(t *testing.T) {
	e := start(t, 10)
	classes := map[string]*ir.Class{}
	for _, name := range []string{"svc-1", "svc-2", "svc-3"} {
		key, class := sidecar(name)
		classes[key] = class
	}
	e.Step(intake.Batch{}, classes)
	out := e.Step(intake.Batch{Sidecars: map[ir.ConfigKey]*ir.Sidecar{sidecarKey: telling("*")}}, nil)
	if n := out.Commit.Evaluated["imported"]; n != 1 {
		t.Errorf("the hosts were looked for %d times", n)
	}
	if len(out.Publish.Classes) != 4 {
		t.Fatalf("%d classes are told of it", len(out.Publish.Classes))
	}
	for _, c := range out.Publish.Classes {
		if c.Scope == nil || c.Scope.Asks || len(c.Scope.Keys) != 10 || !slices.IsSorted(c.Scope.Keys) {
			t.Errorf("class %s has the scope %v", c.Key, c.Scope)
		}
	}
	out = e.Step(intake.Batch{Sidecars: map[ir.ConfigKey]*ir.Sidecar{sidecarKey: nil}}, nil)
	for _, c := range out.Publish.Classes {
		if c.Scope == nil || !c.Scope.Asks {
			t.Errorf("without the Sidecar class %s has the scope %v", c.Key, c.Scope)
		}
	}
}
