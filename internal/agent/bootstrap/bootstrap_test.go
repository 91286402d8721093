// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func config() Config {
	return Config{
		Node:             &corev3.Node{Id: "sidecar~10.0.0.1~a.b~b.svc.cluster.local", Cluster: "a.b"},
		DiscoveryAddress: "meshwright.istio-system.svc:15012",
		SecretSocket:     "/var/run/meshwright/sds.sock",
		MaxConnections:   1000,
	}
}

// normalized removes the random white space of protojson.
func normalized(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

func TestGolden(t *testing.T) {
	b, err := Build(config())
	if err != nil {
		t.Fatal(err)
	}
	text, err := JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	got := normalized(t, text)
	path := filepath.Join("testdata", "sidecar.json")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("bootstrap differs from %s, run the test with -update if that is wanted (-want +got):\n%s", path, diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no port":           func(c *Config) { c.DiscoveryAddress = "meshwright" },
		"port out of range": func(c *Config) { c.DiscoveryAddress = "meshwright:70000" },
		"no host":           func(c *Config) { c.DiscoveryAddress = ":15012" },
		"no connections":    func(c *Config) { c.MaxConnections = 0 },
		"no socket":         func(c *Config) { c.SecretSocket = "" },
		"bad expression":    func(c *Config) { c.Stats.Regexps = []string{"("} },
	} {
		c := config()
		spoil(&c)
		if _, err := Build(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDiscoveryByAddressChecksAddress(t *testing.T) {
	tls := discoveryTLS("10.0.0.1")
	names := tls.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames()
	if len(names) != 1 || names[0].GetSanType() != tlsv3.SubjectAltNameMatcher_IP_ADDRESS || tls.GetSni() != "" {
		t.Errorf("an address must be matched as an address and is no server name: %v", tls)
	}
}

func TestParseStatsInclusion(t *testing.T) {
	got, err := ParseStatsInclusion(map[string]string{
		prefixesAnnotation: "cluster.outbound, http.", suffixesAnnotation: "upstream_rq_total", regexpsAnnotation: "a.*b,(",
	})
	if err == nil || !strings.Contains(err.Error(), regexpsAnnotation) {
		t.Errorf("the broken expression was not reported: %v", err)
	}
	want := StatsInclusion{Prefixes: []string{"cluster.outbound", "http."}, Suffixes: []string{"upstream_rq_total"}, Regexps: []string{"a.*b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	many := strings.TrimSuffix(strings.Repeat("x,", maxInclusions+5), ",")
	got, err = ParseStatsInclusion(map[string]string{prefixesAnnotation: many})
	if err == nil || len(got.Prefixes) != maxInclusions {
		t.Errorf("%d prefixes, %v", len(got.Prefixes), err)
	}
}

// The names are Envoy's: cluster.NAME.METRIC, and what is left after the tag is taken out names the metric.
func TestClusterTag(t *testing.T) {
	expression := regexp.MustCompile(clusterTag)
	for name, want := range map[string]string{
		"cluster.outbound|8080|v1|reviews.default.svc.cluster.local.upstream_rq_retry": "outbound|8080|v1|reviews.default.svc.cluster.local",
		"cluster.xds-grpc.upstream_cx_active":                                          "xds-grpc",
		"cluster.inbound|80||.outlier_detection.ejections_active":                      "inbound|80||",
		"cluster.outbound|80||a.ssl.svc.cluster.local.ssl.versions.TLSv1.3":            "outbound|80||a.ssl.svc.cluster.local",
		"cluster.outbound|80||a.internal.svc.external.upstream_rq_200":                 "outbound|80||a.internal.svc",
		"cluster.a.b.circuit_breakers.default.cx_open":                                 "a.b",
		"cluster.a.b.ssl.fail_verify_san":                                              "a.b",
		"cluster_manager.cds.update_success":                                           "",
	} {
		got := ""
		if match := expression.FindStringSubmatch(name); match != nil {
			got = match[2]
		}
		if got != want {
			t.Errorf("%s: cluster %q, want %q", name, got, want)
		}
	}
}

// TestReachable: names are resolved to what a pod of IPv6 can reach.
func TestReachable(t *testing.T) {
	c := config()
	c.PreferIPv6 = true
	b, err := Build(c)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &caresv3.CaresDnsResolverConfig{}
	if err := b.GetTypedDnsResolverConfig().GetTypedConfig().UnmarshalTo(resolver); err != nil || !resolver.FilterUnroutableFamilies {
		t.Errorf("the resolver is %v, %v", resolver, err)
	}
}
