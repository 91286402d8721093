// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sidecar() Config {
	return Config{
		InboundCapturePort: 15006, OutboundCapturePort: 15001, ProxyUID: 1337, ProxyGID: 1337,
		AllInboundPorts: true, ExcludeInboundPorts: []uint16{15020, 15021}, AllOutbound: true,
	}
}

func TestBuild(t *testing.T) {
	limited := sidecar()
	limited.AllInboundPorts, limited.InboundPorts = false, []uint16{80, 8080}
	limited.AllOutbound = false
	limited.IncludeOutboundPorts = []uint16{443}
	limited.ExcludeOutboundPorts = []uint16{3306}
	limited.IncludeOutboundCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	limited.ExcludeOutboundCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}

	head := func(passthrough, loopback string) []string {
		return []string{
			"-s " + passthrough + " -o lo -j RETURN",
			"! -d " + loopback + " -o lo -p tcp -m owner --uid-owner 1337 -j MESHWRIGHT_IN_REDIRECT",
			"-o lo -m owner ! --uid-owner 1337 -j RETURN",
			"-m owner --uid-owner 1337 -j RETURN",
			"! -d " + loopback + " -o lo -p tcp -m owner --gid-owner 1337 -j MESHWRIGHT_IN_REDIRECT",
			"-o lo -m owner ! --gid-owner 1337 -j RETURN",
			"-m owner --gid-owner 1337 -j RETURN",
			"-d " + loopback + " -j RETURN",
		}
	}
	tests := []struct {
		name              string
		family            family
		config            Config
		inbound, outbound []string
	}{
		{
			name: "all IPv4", family: families[0], config: sidecar(),
			inbound: []string{
				"-p tcp -m tcp --dport 15020 -j RETURN",
				"-p tcp -m tcp --dport 15021 -j RETURN",
				"-p tcp -j MESHWRIGHT_IN_REDIRECT",
			},
			outbound: append(head("127.0.0.6/32", "127.0.0.1/32"), "-j MESHWRIGHT_REDIRECT"),
		},
		{
			name: "limited IPv4", family: families[0], config: limited,
			inbound: []string{
				"-p tcp -m tcp --dport 15020 -j RETURN",
				"-p tcp -m tcp --dport 15021 -j RETURN",
				"-p tcp -m tcp --dport 80 -j MESHWRIGHT_IN_REDIRECT",
				"-p tcp -m tcp --dport 8080 -j MESHWRIGHT_IN_REDIRECT",
			},
			outbound: append(head("127.0.0.6/32", "127.0.0.1/32"),
				"-p tcp -m tcp --dport 3306 -j RETURN",
				"-d 10.1.0.0/16 -j RETURN",
				"-p tcp -m tcp --dport 443 -j MESHWRIGHT_REDIRECT",
				"-d 10.0.0.0/8 -j MESHWRIGHT_REDIRECT"),
		},
		{
			name: "limited IPv6", family: families[1], config: limited,
			inbound: []string{
				"-p tcp -m tcp --dport 15020 -j RETURN",
				"-p tcp -m tcp --dport 15021 -j RETURN",
				"-p tcp -m tcp --dport 80 -j MESHWRIGHT_IN_REDIRECT",
				"-p tcp -m tcp --dport 8080 -j MESHWRIGHT_IN_REDIRECT",
			},
			outbound: append(head("::6/128", "::1/128"),
				"-p tcp -m tcp --dport 3306 -j RETURN",
				"-p tcp -m tcp --dport 443 -j MESHWRIGHT_REDIRECT",
				"-d fd00::/8 -j MESHWRIGHT_REDIRECT"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := build(tt.family, tt.config)
			if diff := cmp.Diff(tt.inbound, got.chains[chainInbound]); diff != "" {
				t.Errorf("inbound (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.outbound, got.chains[chainOutbound]); diff != "" {
				t.Errorf("outbound (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseLists(t *testing.T) {
	for list, want := range map[string]string{
		"": "false []", "*": "true []", " 80, 443,80 ": "false [80 443]",
		"0": "error", "65536": "error", "http": "error", "*,80": "error",
	} {
		all, ports, err := ParsePorts(list)
		if got := fmt.Sprintf("%t %v", all, ports); (err != nil) != (want == "error") || err == nil && got != want {
			t.Errorf("ParsePorts(%q) = %s, %v; want %s", list, got, err, want)
		}
	}
	for list, want := range map[string]string{
		"": "false []", "*": "true []", "10.1.2.3": "false [10.1.2.3/32]", "10.1.2.3/8,fd00::1/8": "false [10.0.0.0/8 fd00::/8]",
		"10.0.0.0/33": "error", "x": "error", "*,10.0.0.0/8": "error", "fe80::1%eth0": "error",
	} {
		all, blocks, err := ParseCIDRs(list)
		if got := fmt.Sprintf("%t %v", all, blocks); (err != nil) != (want == "error") || err == nil && got != want {
			t.Errorf("ParseCIDRs(%q) = %s, %v; want %s", list, got, err, want)
		}
	}
}

func TestBuildDNS(t *testing.T) {
	config := sidecar()
	config.DNSCapturePort = 15053
	config.DNSServers = []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a"), netip.MustParseAddr("8.8.8.8")}
	config.ExcludeOutboundCIDRs = []netip.Prefix{netip.MustParsePrefix("8.8.0.0/16")}
	nat, raw := build(families[0], config)
	want := []string{
		"-m owner --uid-owner 1337 -j RETURN",
		"-m owner --gid-owner 1337 -j RETURN",
		"-d 10.96.0.10/32 -p udp -j REDIRECT --to-ports 15053",
		"-d 10.96.0.10/32 -p tcp -j REDIRECT --to-ports 15053",
	}
	if diff := cmp.Diff(want, nat.chains[chainDNS]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Before any rule that lets packets over lo pass, for name servers within the pod.
	if got := nat.chains[chainOutbound][0]; got != "-p tcp -m tcp --dport 53 -j MESHWRIGHT_DNS" {
		t.Errorf("the first outbound rule is %q", got)
	}
	wantRaw := map[string][]string{
		chainZoneOutput: {
			"-d 10.96.0.10/32 -p udp -m owner --uid-owner 1337 -j CT --zone 1",
			"-d 10.96.0.10/32 -p udp -m owner --gid-owner 1337 -j CT --zone 1",
		},
		chainZoneInput: {"-s 10.96.0.10/32 -p udp -j CT --zone 1"},
	}
	if diff := cmp.Diff(wantRaw, raw.chains); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	nat, raw = build(families[1], config)
	if got := fmt.Sprint(nat.chains[chainDNS], raw.chains); !strings.Contains(got, "fd00::a/128") || strings.Contains(got, "10.96") {
		t.Errorf("IPv6: %s", got)
	}
	config.ExcludeOutboundPorts = []uint16{53}
	if nat, raw = build(families[0], config); nat.chains[chainDNS] != nil || raw.jumps != nil {
		t.Errorf("port 53 is excluded, but there are %v %v", nat.chains[chainDNS], raw.jumps)
	}
}

func TestApplyDNS(t *testing.T) {
	config := sidecar()
	config.DNSCapturePort, config.DNSServers = 15053, []netip.Addr{netip.MustParseAddr("10.96.0.10")}
	k := &kernel{chains: map[string]bool{}, rules: []string{"OUTPUT -p udp -m udp --dport 53 -j ACCEPT"}}
	plain := sidecar()
	steps := []struct {
		config  Config
		changed bool
		rules   int
	}{{config, true, 28}, {config, false, 28}, {plain, true, 17}, {plain, false, 17}, {config, true, 28}}
	for i, step := range steps {
		results, err := apply(t.Context(), step.config, Options{}, k.run)
		if err != nil || results[0].Changed != step.changed || len(k.rules) != step.rules {
			t.Fatalf("step %d: %+v, %v, %d rules:\n%s", i, results, err, len(k.rules), strings.Join(k.rules, "\n"))
		}
		for _, chain := range dnsChains {
			if k.chains[chain] != (step.config.DNSCapturePort != 0) {
				t.Errorf("step %d: chain %s is there: %t", i, chain, k.chains[chain])
			}
		}
	}
	// Without the table the rules could not be written; without the wish for DNS it is not needed.
	k = &kernel{chains: map[string]bool{}, noRaw: true}
	if _, err := apply(t.Context(), plain, Options{}, k.run); err != nil {
		t.Errorf("without table raw: %v", err)
	}
	if _, err := apply(t.Context(), config, Options{}, k.run); err == nil || !strings.Contains(err.Error(), "raw") {
		t.Errorf("without table raw: got %v, want an error that names it", err)
	}
	config.DNSCapturePort = config.InboundCapturePort
	if _, err := apply(t.Context(), config, Options{}, k.run); err == nil {
		t.Error("one port for DNS and inbound traffic was accepted")
	}
}

// kernel is a pair of tables that understand the transactions that we write. The built-in chains of both count as the
// same, since no rule of ours would fit into both.
type kernel struct {
	rules    []string // "CHAIN RULE" in order
	chains   map[string]bool
	noRaw    bool // there is no table raw
	restores int
	missing  map[string]bool // tools that do not work
	// interfere runs after each restore, as another process would.
	interfere func(k *kernel)
}

func (k *kernel) run(_ context.Context, stdin, name string, args ...string) (string, error) {
	if k.missing[name] {
		return "", errors.New("executable file not found")
	}
	if strings.HasSuffix(name, "-save") {
		return k.save(args[1])
	}
	k.restores++
	for line := range strings.SplitSeq(stdin, "\n") {
		switch {
		case strings.HasPrefix(line, ":"):
			chain, _, _ := strings.Cut(line[1:], " ")
			k.chains[chain] = true
			var kept []string
			for _, rule := range k.rules {
				if !strings.HasPrefix(rule, chain+" ") {
					kept = append(kept, rule)
				}
			}
			k.rules = kept
		case strings.HasPrefix(line, "-X "):
			delete(k.chains, line[3:])
		case strings.HasPrefix(line, "-A "):
			k.rules = append(k.rules, line[3:])
		case strings.HasPrefix(line, "-D "):
			for i, rule := range k.rules {
				if rule == line[3:] {
					k.rules = append(k.rules[:i:i], k.rules[i+1:]...)
					break
				}
			}
		}
	}
	if k.interfere != nil {
		k.interfere(k)
	}
	return "", nil
}

func (k *kernel) save(table string) (string, error) {
	if table == tableRaw && k.noRaw {
		return "", errors.New("can't initialize iptables table `raw'")
	}
	var b strings.Builder
	b.WriteString("# Generated\n*" + table + "\n:PREROUTING ACCEPT [5:300]\n:OUTPUT ACCEPT [0:0]\n")
	here := func(text string) bool { return strings.Contains(text, "_ZONE_") == (table == tableRaw) }
	for chain := range k.chains {
		if here(chain) {
			b.WriteString(":" + chain + " - [0:0]\n")
		}
	}
	for _, rule := range k.rules {
		if here(rule) {
			b.WriteString("-A " + rule + "\n")
		}
	}
	return b.String() + "COMMIT\n", nil
}

func TestApplyConverges(t *testing.T) {
	foreign := "PREROUTING -p tcp -m tcp --dport 9 -j DNAT --to-destination 10.0.0.9"
	tests := []struct {
		name         string
		rules        []string
		chains       []string
		wantRestores int
	}{
		{name: "empty", wantRestores: 1},
		{name: "rules of others stay", rules: []string{foreign}, wantRestores: 1},
		{
			name:   "stale and doubled jumps and rules",
			chains: []string{chainInbound, chainOutbound},
			rules: []string{
				"PREROUTING -p tcp -j MESHWRIGHT_INBOUND", "PREROUTING -p tcp -j MESHWRIGHT_INBOUND",
				"OUTPUT -j MESHWRIGHT_OUTPUT", "MESHWRIGHT_INBOUND -p udp -j RETURN", foreign,
			},
			wantRestores: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &kernel{chains: map[string]bool{}, rules: tt.rules}
			for _, chain := range tt.chains {
				k.chains[chain] = true
			}
			results, err := apply(t.Context(), sidecar(), Options{}, k.run)
			if err != nil || len(results) != 1 || !results[0].Changed {
				t.Fatalf("first apply: %+v, %v", results, err)
			}
			after := fmt.Sprint(k.rules)
			for _, chain := range []string{"PREROUTING -p tcp -j MESHWRIGHT_INBOUND", "OUTPUT -p tcp -j MESHWRIGHT_OUTPUT"} {
				if n := strings.Count(after, chain); n != 1 {
					t.Errorf("%q is there %d times in %s", chain, n, after)
				}
			}
			if strings.Contains(strings.Join(tt.rules, "\n"), foreign) && !strings.Contains(after, foreign) {
				t.Errorf("rule of another was lost: %s", after)
			}
			results, err = apply(t.Context(), sidecar(), Options{}, k.run)
			if err != nil || results[0].Changed || fmt.Sprint(k.rules) != after || k.restores != tt.wantRestores {
				t.Errorf("second apply: %+v, %v, %d restores, rules %v", results, err, k.restores, k.rules)
			}
		})
	}
}

func TestApplyErrors(t *testing.T) {
	k := &kernel{chains: map[string]bool{}, missing: map[string]bool{"iptables-save": true}}
	if _, err := apply(t.Context(), sidecar(), Options{}, k.run); err != nil {
		t.Errorf("legacy tools were not tried: %v", err)
	}
	k = &kernel{chains: map[string]bool{}, missing: map[string]bool{"iptables-save": true, "iptables-legacy-save": true}}
	if _, err := apply(t.Context(), sidecar(), Options{}, k.run); err == nil || !strings.Contains(err.Error(), "NET_ADMIN") {
		t.Errorf("without tools: %v", err)
	}
	k = &kernel{chains: map[string]bool{}, interfere: func(k *kernel) { k.rules = nil }}
	if _, err := apply(t.Context(), sidecar(), Options{}, k.run); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("with interference: %v", err)
	}
	if k.restores != maxAttempts {
		t.Errorf("%d attempts, want %d", k.restores, maxAttempts)
	}
	same := sidecar()
	same.OutboundCapturePort = same.InboundCapturePort
	if _, err := apply(t.Context(), same, Options{}, k.run); err == nil {
		t.Error("one port for both directions was accepted")
	}
}

func TestDryRunTouchesNothing(t *testing.T) {
	k := &kernel{chains: map[string]bool{}}
	results, err := apply(t.Context(), sidecar(), Options{DryRun: true, IPv6: true}, k.run)
	if err != nil || len(results) != 2 || k.restores != 0 {
		t.Fatalf("%+v, %v, %d restores", results, err, k.restores)
	}
	if !strings.Contains(results[0].Rules, "--to-ports 15006") || !strings.Contains(results[1].Rules, "::6/128") {
		t.Errorf("rules: %+v", results)
	}
}
