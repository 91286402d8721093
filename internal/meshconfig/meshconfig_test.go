// SPDX-License-Identifier: Apache-2.0

package meshconfig

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Config
		problem  string
	}{
		{"empty", "", Default(), ""},
		{
			"all", "trustDomain: example.org\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\naccessLogFile: /dev/stdout\ndiscoveryScope: full\n" +
				"protocolDetectionTimeout: 0s\n",
			Config{TrustDomain: "example.org", OutboundTrafficPolicy: OutboundTrafficPolicy{Mode: RegistryOnly}, AccessLogFile: "/dev/stdout", DiscoveryScope: Full, Ingress: defaultIngress()},
			"",
		},
		{
			"proxies", "pathNormalization: {normalization: MERGE_SLASHES}\ndefaultConfig: {gatewayTopology: {numTrustedProxies: 2, forwardClientCertDetails: SANITIZE, proxyProtocol: {}}}\n",
			Config{
				TrustDomain: "cluster.local", OutboundTrafficPolicy: OutboundTrafficPolicy{Mode: AllowAny},
				PathNormalization: PathNormalization{NormalizeMergeSlashes},
				DefaultConfig: DefaultConfig{Settings: proxyconfig.Settings{
					Topology: &ir.EdgeTopology{TrustedProxies: 2, ClientCert: ir.CertSanitize, ProxyProtocol: true},
				}},
				DiscoveryScope:           Default().DiscoveryScope,
				ProtocolDetectionTimeout: Default().ProtocolDetectionTimeout,
				Ingress:                  defaultIngress(),
			},
			"",
		},
		{"normalization", "pathNormalization: {normalization: ALL}\n", Config{}, "pathNormalization.normalization"},
		{"certificates", "defaultConfig: {gatewayTopology: {forwardClientCertDetails: MAYBE}}\n", Config{}, "defaultConfig: gatewayTopology: forwardClientCertDetails"},
		{"trusted proxies", "defaultConfig: {gatewayTopology: {numTrustedProxies: 65}}\n", Config{}, "numTrustedProxies"},
		{"unknown topology", "defaultConfig: {gatewayTopology: {hops: 2}}\n", Config{}, "gatewayTopology"},
		{"empty policy keeps the default", "outboundTrafficPolicy: {}\n", Default(), ""},
		{
			"proxies", "defaultConfig: {drainDuration: 20s, proxyMetadata: {ISTIO_META_DNS_CAPTURE: \"true\"}}\n",
			Config{
				TrustDomain: "cluster.local", OutboundTrafficPolicy: OutboundTrafficPolicy{Mode: AllowAny}, DiscoveryScope: OnDemand,
				ProtocolDetectionTimeout: metav1.Duration{Duration: DefaultDetection}, Ingress: defaultIngress(),
				DefaultConfig: DefaultConfig{Settings: proxyconfig.Settings{
					Drain: 20 * time.Second, Environment: map[string]string{"ISTIO_META_DNS_CAPTURE": "true"},
				}},
			},
			"",
		},
		{"a proxy's field that is not served", "defaultConfig: {tracing: {}}\n", Config{}, "defaultConfig: tracing"},
		{"a proxy's field that is wrong", "defaultConfig: {concurrency: many}\n", Config{}, "defaultConfig: concurrency"},
		{"ingress mode", "ingressControllerMode: SOME\n", Config{}, "ingressControllerMode"},
		{"ingress service", "ingressService: A/b\n", Config{}, "ingressService"},
		{"ingress selector", "ingressSelector: 'a b'\n", Config{}, "ingressSelector"},
		{
			"clients", "defaultHttpRetryPolicy: {attempts: 1, backoff: 1s}\nconnectTimeout: 5s\ntcpKeepalive: {time: 10s}\nh2UpgradePolicy: UPGRADE\n" +
				"defaultRetryBudget: {percent: 5}\nlocalityLbSetting: {failover: [{from: a, to: b}]}\nzoneAwareLbSetting: {minClusterSize: 3}\ndefaultServiceExportTo: [.]\n",
			Config{
				TrustDomain: "cluster.local", OutboundTrafficPolicy: OutboundTrafficPolicy{Mode: AllowAny}, DiscoveryScope: OnDemand,
				ProtocolDetectionTimeout: metav1.Duration{Duration: DefaultDetection}, Ingress: defaultIngress(),
				Clients: Clients{
					Objects: Objects{
						DefaultHTTPRetryPolicy: &RetryPolicy{Attempts: 1, Backoff: "1s"}, ConnectTimeout: "5s", TCPKeepalive: &Keepalive{Time: "10s"},
						H2UpgradePolicy: H2Upgrade, LocalityLBSetting: &LocalityLBSetting{Failover: []Failover{{"a", "b"}}}, ZoneAwareLBSetting: &ZoneAwareLBSetting{MinClusterSize: new(uint32(3))},
						DefaultServiceExportTo: []string{"."},
					},
					DefaultRetryBudget: &RetryBudget{Percent: new(5.0)},
				},
			},
			"",
		},
		{"upgrade policy", "h2UpgradePolicy: MAYBE\n", Config{}, "h2UpgradePolicy"},
		{"a field of retries that is not served", "defaultHttpRetryPolicy: {perTryTimeout: 1s}\n", Config{}, "perTryTimeout"},
		{"trust domain", "trustDomain: a/b\n", Config{}, "trustDomain"},
		{"mode", "outboundTrafficPolicy: {mode: NO}\n", Config{}, "outboundTrafficPolicy.mode"},
		{"TLS to unknown hosts", "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}\n", Config{}, "ServiceEntry with resolution DYNAMIC_DNS"},
		{"log file", "accessLogFile: /etc/passwd\n", Config{}, "accessLogFile"},
		{"scope", "discoveryScope: some\n", Config{}, "discoveryScope"},
		{"detection for too long", "protocolDetectionTimeout: 11s\n", Config{}, "protocolDetectionTimeout"},
		{"unknown field", "enableTracing: true\n", Config{}, "enableTracing"},
		{"not YAML", "\t{", Config{}, "mesh configuration"},
		{"too large", strings.Repeat("#", maxBytes+1), Config{}, "larger"},
	} {
		got, err := Parse([]byte(c.in))
		if c.problem == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
		if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestLoadWithoutFile(t *testing.T) {
	got, err := Load(filepath.Join(t.TempDir(), "none"))
	if err != nil || !reflect.DeepEqual(got, Default()) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}
