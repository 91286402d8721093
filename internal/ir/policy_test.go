// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"reflect"
	"testing"
)

// TestPolicySettingsFor: a subset hides field by field, a port hides all that can
// be set for a port, and a port of a subset hides every other level.
func TestPolicySettingsFor(t *testing.T) {
	lb := func(b Balance) LoadBalancer { return LoadBalancer{Balance: b} }
	pool := func(n uint32) *ConnectionPool { return &ConnectionPool{MaxConnections: n} }
	outliers := func(n uint32) *OutlierDetection { return &OutlierDetection{MaxEjectionPercent: n} }
	tls := func(m TLSMode) *ClientTLS { return &ClientTLS{Mode: m} }
	budget := func(n uint32) *RetryBudget { return &RetryBudget{MinConcurrency: n} }
	// What no port can set stays: the PROXY protocol, the budget and the tunnel.
	with := func(b *RetryBudget, s PolicySettings) PolicySettings {
		s.ProxyProtocol, s.RetryBudget, s.Tunnel = ProxyProtocolV2, b, &Tunnel{Target: "t:1"}
		return s
	}
	p := TrafficPolicy{
		Settings: PolicySettings{LoadBalancer: lb(BalanceRandom), TLS: tls(TLSMesh), Pool: pool(1), Outliers: outliers(1), ProxyProtocol: ProxyProtocolV2, RetryBudget: budget(1), Tunnel: &Tunnel{Target: "t:1"}},
		Ports: []PortPolicy{
			{Port: 81, Settings: PolicySettings{Pool: pool(81)}},
			{Port: 82, Settings: PolicySettings{}},
		},
		Subsets: []Subset{
			{Name: "bare"},
			{Name: "pool", Settings: &PolicySettings{Pool: pool(2)}},
			{Name: "rest", Settings: &PolicySettings{LoadBalancer: lb(BalanceRoundRobin), TLS: tls(TLSDisable), Outliers: outliers(2)}},
			{
				Name: "ports", Settings: &PolicySettings{Outliers: outliers(3), RetryBudget: budget(3)},
				Ports: []PortPolicy{{Port: 81, Settings: PolicySettings{LoadBalancer: lb(BalanceRoundRobin)}}},
			},
		},
	}
	for _, c := range []struct {
		name   string
		port   uint16
		subset string
		want   PolicySettings
	}{
		{"the policy", 80, "", p.Settings},
		{"a port inherits nothing", 81, "", with(budget(1), PolicySettings{Pool: pool(81)})},
		{"a port that says nothing has the defaults", 82, "", with(budget(1), PolicySettings{})},
		{"a subset that does not exist", 80, "nobody", p.Settings},
		{"a subset that says nothing", 80, "bare", p.Settings},
		{"a subset that says nothing, at a port", 81, "bare", with(budget(1), PolicySettings{Pool: pool(81)})},
		{"a pool of a subset", 80, "pool", with(budget(1), PolicySettings{LoadBalancer: lb(BalanceRandom), TLS: tls(TLSMesh), Pool: pool(2), Outliers: outliers(1)})},
		{"a pool of a subset over a port of the policy", 81, "pool", with(budget(1), PolicySettings{Pool: pool(2)})},
		{"all but the pool", 80, "rest", with(budget(1), PolicySettings{LoadBalancer: lb(BalanceRoundRobin), TLS: tls(TLSDisable), Pool: pool(1), Outliers: outliers(2)})},
		{"all but the pool, at a port", 81, "rest", with(budget(1), PolicySettings{LoadBalancer: lb(BalanceRoundRobin), TLS: tls(TLSDisable), Pool: pool(81), Outliers: outliers(2)})},
		{"another port of a subset with ports", 80, "ports", with(budget(3), PolicySettings{LoadBalancer: lb(BalanceRandom), TLS: tls(TLSMesh), Pool: pool(1), Outliers: outliers(3)})},
		{"a port of a subset inherits nothing", 81, "ports", with(budget(3), PolicySettings{LoadBalancer: lb(BalanceRoundRobin)})},
	} {
		if got := p.For(c.port, c.subset); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: port %d of subset %q has %+v, want %+v", c.name, c.port, c.subset, got, c.want)
		}
	}
}
