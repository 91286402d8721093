// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"

	"github.com/meshwright/meshwright/internal/ir"
)

func TestParse(t *testing.T) {
	got, ignored, err := Parse([]byte(`
concurrency: 2
drainDuration: 90s
terminationDrainDuration: 30.5s
holdApplicationUntilProxyStarts: false
statusPort: 15020
image: {imageType: distroless}
proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true", GOGC: "50"}
proxyStatsMatcher: {inclusionPrefixes: [a, b], inclusionRegexps: [c.*]}
gatewayTopology: {numTrustedProxies: 2, forwardClientCertDetails: FORWARD_ONLY, proxyProtocol: {}}
proxyHeaders: {forwardedClientCert: SANITIZE, preserveHttp1HeaderCase: true, server: {value: shop}, requestId: {disabled: true}, xForwardedPort: {enabled: true}, setCurrentClientCertDetails: {subject: false, uri: true, chain: true}, metadataExchangeHeaders: {mode: IN_MESH}, attemptCount: {disabled: true}, xForwardedHost: {enabled: true}}
tracing: {sampling: 1}
discoveryAddress: null
`))
	if err != nil {
		t.Fatal(err)
	}
	two := int32(2)
	want := Settings{
		Concurrency: &two, Environment: map[string]string{DNSCapture: "true", "GOGC": "50"}, ImageType: "distroless",
		Drain: 30*time.Second + 500*time.Millisecond, StatsPrefixes: []string{"a", "b"}, StatsRegexps: []string{"c.*"},
		Topology: &ir.EdgeTopology{TrustedProxies: 2, ClientCert: ir.CertForward, ProxyProtocol: true},
		Dialect: &ir.Dialect{
			PreserveCase: true, Server: "shop", NoRequestID: true, TellPort: true, TellHost: true, NoAttempts: true, ClientCert: ir.CertSanitize, ClientCertSet: true,
			CertParts: ir.CertParts{NoSubject: true, Chain: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got.CapturesDNS() || (Settings{}).CapturesDNS() {
		t.Error("the wish for DNS capture was not understood")
	}
	if want := []string{"discoveryAddress: not served by this mesh", "tracing: not served by this mesh"}; !slices.Equal(ignored, want) {
		t.Errorf("ignored %q, want %q", ignored, want)
	}
	if _, ignored, err := Parse([]byte("{statusPort: 0, image: {imageType: debug}}")); err != nil || len(ignored) != 2 {
		t.Errorf("what works elsewhere: ignored %q, %v", ignored, err)
	}
	if s, ignored, err := Parse(nil); err != nil || ignored != nil || !cmp.Equal(s, Settings{}) {
		t.Errorf("nothing: %+v, %q, %v", s, ignored, err)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"concurrency: -1":                                           "concurrency: -1",
		"concurrency: many":                                         "concurrency: \"many\"",
		"drainDuration: 10":                                         "drainDuration: 10",
		"drainDuration: 2h":                                         "drainDuration: \"2h\"",
		"proxyMetadata: [a]":                                        "proxyMetadata: is not a map",
		"proxyMetadata: {A: 1}":                                     "proxyMetadata: A: 1 is not text; put it in quotes",
		"proxyMetadata: {a-b: x}":                                   "proxyMetadata: a-b",
		"proxyMetadata: {POD_IP: x}":                                "proxyMetadata: POD_IP",
		"proxyMetadata: {ISTIO_META_DNS_CAPTURE: x}":                "proxyMetadata: ISTIO_META_DNS_CAPTURE",
		"image: {type: debug}":                                      "image: ",
		"proxyStatsMatcher: {inclusionPrefixes: [a,b]":              "is not YAML",
		"proxyStatsMatcher: {inclusionSuffixes: ['a,b']}":           "comma",
		"holdApplicationUntilProxyStarts: 1":                        "holdApplicationUntilProxyStarts",
		"gatewayTopology: {numTrustedProxies: 65}":                  "gatewayTopology: numTrustedProxies",
		"gatewayTopology: {hops: 2}":                                "gatewayTopology: ",
		"gatewayTopology: {forwardClientCertDetails: ANY}":          "gatewayTopology: forwardClientCertDetails",
		"proxyHeaders: {forwardedClientCert: ANY}":                  "proxyHeaders: forwardedClientCert",
		"proxyHeaders: {metadataExchangeHeaders: {mode: OUT_MESH}}": "proxyHeaders: metadataExchangeHeaders.mode",
		"proxyHeaders: {server: {value: \"a\\nb\"}}":                "proxyHeaders: server.value",
		"- a":                              "set of fields",
		"{concurrency: 1, concurrency: 2}": "concurrency",
		strings.Repeat("#", maxText+1):     "larger",
	} {
		if _, _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want an error with %q", text, err, want)
		}
	}
	_, _, err := Parse([]byte("{concurrency: -1, proxyMetadata: {A: 1, B: 2}}"))
	if got := len(Each(err)); got != 3 {
		t.Errorf("%d errors, want 3: %v", got, err)
	}
}

// TestFieldsAreIstios finds a name that the API does not have.
func TestFieldsAreIstios(t *testing.T) {
	known := (&meshv1alpha1.ProxyConfig{}).ProtoReflect().Descriptor().Fields()
	for _, name := range Fields() {
		if known.ByJSONName(name) == nil {
			t.Errorf("%s is no field of ProxyConfig", name)
		}
	}
}

func row(name string, workers int32, selector ir.Labels, variables ...ir.Variable) *ir.ProxyConfig {
	return &ir.ProxyConfig{
		Origin: ir.Origin{Kind: "ProxyConfig", Namespace: "x", Name: name}, Selector: selector,
		Workers: ir.Workers{Set: workers != 0, Number: workers}, Environment: variables,
	}
}

// The narrower scope is stronger, field by field and variable by variable.
func TestStoreMergesInOrder(t *testing.T) {
	one := int32(1)
	store := NewStore(Settings{
		Concurrency: &one, Drain: time.Minute, Environment: map[string]string{"A": "mesh", "B": "mesh", "C": "mesh", "D": "mesh"},
	}, "root")
	variable := func(names, value string) (out []ir.Variable) {
		for _, name := range strings.Split(names, "") {
			out = append(out, ir.Variable{Name: name, Value: value})
		}
		return out
	}
	app := ir.NewLabels(map[string]string{"app": "web"})
	store.Update(map[string]*ir.ProxyDefaults{
		"root": {
			Whole:     row("r", 2, nil, variable("ABC", "root")...),
			Workloads: []*ir.ProxyConfig{row("rw", 9, app)},
		},
		"shop": {
			Whole: row("n", 3, nil, variable("AB", "namespace")...),
			Workloads: []*ir.ProxyConfig{
				row("older", 0, app, variable("A", "workload")...),
				row("younger", 7, ir.NewLabels(map[string]string{"version": "v1"})),
			},
		},
	})
	show := func(s Settings) string { return fmt.Sprint(*s.Concurrency, s.Environment, s.Drain) }
	for _, tt := range []struct {
		namespace string
		labels    map[string]string
		want      string
		warnings  int
	}{
		{"other", nil, "2 map[A:root B:root C:root D:mesh] 1m0s", 0},
		{"shop", nil, "3 map[A:namespace B:namespace C:root D:mesh] 1m0s", 0},
		{"shop", map[string]string{"app": "web"}, "3 map[A:workload B:namespace C:root D:mesh] 1m0s", 0},
		{"shop", map[string]string{"app": "web", "version": "v1"}, "3 map[A:workload B:namespace C:root D:mesh] 1m0s", 1},
		{"root", map[string]string{"app": "web"}, "9 map[A:root B:root C:root D:mesh] 1m0s", 0},
	} {
		got, warnings := store.For(tt.namespace, tt.labels)
		if show(got) != tt.want || len(warnings) != tt.warnings {
			t.Errorf("%s %v: %s %q, want %s", tt.namespace, tt.labels, show(got), warnings, tt.want)
		}
	}
	store.Update(map[string]*ir.ProxyDefaults{"root": nil, "shop": nil})
	if got, _ := store.For("shop", nil); show(got) != "1 map[A:mesh B:mesh C:mesh D:mesh] 1m0s" {
		t.Errorf("after all are gone: %s", show(got))
	}
}
