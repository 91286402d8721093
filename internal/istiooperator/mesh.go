// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"errors"
	"strings"
	"unicode"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// meshFields are the fields of the mesh's configuration that have a
// counterpart.
var meshFields = []field{
	{"trustDomain", "meshConfig.trustDomain", text},
	{"outboundTrafficPolicy.mode", "meshConfig.outboundTrafficPolicy.mode", oneOf("ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS", "REGISTRY_ONLY")},
	{"accessLogFile", "meshConfig.accessLogFile", exactly("", "/dev/stdout")},
	{"protocolDetectionTimeout", "meshConfig.protocolDetectionTimeout", matching(shortTimes, 8, "a duration such as 200ms or 5s")},
	{"ingressControllerMode", "meshConfig.ingressControllerMode", oneOf("OFF", "STRICT", "DEFAULT")},
	{"ingressClass", "meshConfig.ingressClass", text},
	{"ingressSelector", "meshConfig.ingressSelector", text},
	{"ingressService", "meshConfig.ingressService", text},
	{"connectTimeout", "meshConfig.connectTimeout", duration},
	{"h2UpgradePolicy", "meshConfig.h2UpgradePolicy", oneOf("DO_NOT_UPGRADE", "UPGRADE")},
	{"localityLbSetting", "meshConfig.localityLbSetting", typed[v1alpha1.LocalityLBSetting]},
	{"defaultServiceExportTo", "meshConfig.defaultServiceExportTo", textList},
	{"defaultVirtualServiceExportTo", "meshConfig.defaultVirtualServiceExportTo", textList},
	{"defaultDestinationRuleExportTo", "meshConfig.defaultDestinationRuleExportTo", textList},
	{"defaultHttpRetryPolicy.attempts", "meshConfig.defaultHttpRetryPolicy.attempts", integer(0, 100)},
	{"defaultHttpRetryPolicy.retryOn", "meshConfig.defaultHttpRetryPolicy.retryOn", text},
	{"defaultHttpRetryPolicy.retryRemoteLocalities", "meshConfig.defaultHttpRetryPolicy.retryRemoteLocalities", boolean},
	{"defaultHttpRetryPolicy.retryIgnorePreviousHosts", "meshConfig.defaultHttpRetryPolicy.retryIgnorePreviousHosts", boolean},
	{"defaultHttpRetryPolicy.backoff", "meshConfig.defaultHttpRetryPolicy.backoff", duration},
	{"defaultRetryBudget.percent", "meshConfig.defaultRetryBudget.percent", integer(0, 100)},
	{"defaultRetryBudget.minRetryConcurrency", "meshConfig.defaultRetryBudget.minRetryConcurrency", integer(1, 1<<31-1)},
	{"defaultRetryBudget.budgetInterval", "meshConfig.defaultRetryBudget.budgetInterval", duration},
	{"tcpKeepalive.probes", "meshConfig.tcpKeepalive.probes", integer(1, 127)},
	{"tcpKeepalive.time", "meshConfig.tcpKeepalive.time", wholeSeconds},
	{"tcpKeepalive.interval", "meshConfig.tcpKeepalive.interval", wholeSeconds},
	{"defaultConfig.concurrency", "meshConfig.defaultConfig.concurrency", integer(0, 1024)},
	{"defaultConfig.drainDuration", "meshConfig.defaultConfig.drainDuration", duration},
	{"defaultConfig.proxyMetadata", "meshConfig.defaultConfig.proxyMetadata", textMap},
	{"pathNormalization.normalization", "meshConfig.pathNormalization.normalization", oneOf("DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")},
	{"defaultConfig.terminationDrainDuration", "meshConfig.defaultConfig.terminationDrainDuration", duration},
	{"defaultConfig.holdApplicationUntilProxyStarts", "meshConfig.defaultConfig.holdApplicationUntilProxyStarts", boolean},
	{"defaultConfig.image.imageType", "meshConfig.defaultConfig.image.imageType", oneOf("", "default", "distroless")},
	{"defaultConfig.gatewayTopology.numTrustedProxies", "meshConfig.defaultConfig.gatewayTopology.numTrustedProxies", integer(0, 64)},
	{"defaultConfig.gatewayTopology.forwardClientCertDetails", "meshConfig.defaultConfig.gatewayTopology.forwardClientCertDetails", forwardings},
	{"defaultConfig.proxyStatsMatcher.inclusionPrefixes", "meshConfig.defaultConfig.proxyStatsMatcher.inclusionPrefixes", textList},
	{"defaultConfig.proxyStatsMatcher.inclusionSuffixes", "meshConfig.defaultConfig.proxyStatsMatcher.inclusionSuffixes", textList},
	{"defaultConfig.proxyStatsMatcher.inclusionRegexps", "meshConfig.defaultConfig.proxyStatsMatcher.inclusionRegexps", textList},
	{"defaultConfig.gatewayTopology.proxyProtocol", "meshConfig.defaultConfig.gatewayTopology.proxyProtocol", empty},
	{"defaultConfig.proxyHeaders.forwardedClientCert", "meshConfig.defaultConfig.proxyHeaders.forwardedClientCert", forwardings},
	{"defaultConfig.proxyHeaders.setCurrentClientCertDetails.subject", "meshConfig.defaultConfig.proxyHeaders.setCurrentClientCertDetails.subject", boolean},
	{"defaultConfig.proxyHeaders.setCurrentClientCertDetails.cert", "meshConfig.defaultConfig.proxyHeaders.setCurrentClientCertDetails.cert", boolean},
	{"defaultConfig.proxyHeaders.setCurrentClientCertDetails.chain", "meshConfig.defaultConfig.proxyHeaders.setCurrentClientCertDetails.chain", boolean},
	{"defaultConfig.proxyHeaders.setCurrentClientCertDetails.dns", "meshConfig.defaultConfig.proxyHeaders.setCurrentClientCertDetails.dns", boolean},
	{"defaultConfig.proxyHeaders.setCurrentClientCertDetails.uri", "meshConfig.defaultConfig.proxyHeaders.setCurrentClientCertDetails.uri", boolean},
	{"defaultConfig.proxyHeaders.requestId.disabled", "meshConfig.defaultConfig.proxyHeaders.requestId.disabled", boolean},
	{"defaultConfig.proxyHeaders.server.disabled", "meshConfig.defaultConfig.proxyHeaders.server.disabled", boolean},
	{"defaultConfig.proxyHeaders.server.value", "meshConfig.defaultConfig.proxyHeaders.server.value", text},
	{"defaultConfig.proxyHeaders.attemptCount.disabled", "meshConfig.defaultConfig.proxyHeaders.attemptCount.disabled", boolean},
	{"defaultConfig.proxyHeaders.envoyDebugHeaders.disabled", "meshConfig.defaultConfig.proxyHeaders.envoyDebugHeaders.disabled", boolean},
	{"defaultConfig.proxyHeaders.metadataExchangeHeaders.mode", "meshConfig.defaultConfig.proxyHeaders.metadataExchangeHeaders.mode", oneOf("UNDEFINED", "IN_MESH")},
	{"defaultConfig.proxyHeaders.xForwardedHost.enabled", "meshConfig.defaultConfig.proxyHeaders.xForwardedHost.enabled", boolean},
	{"defaultConfig.proxyHeaders.xForwardedPort.enabled", "meshConfig.defaultConfig.proxyHeaders.xForwardedPort.enabled", boolean},
	{"defaultConfig.proxyHeaders.preserveHttp1HeaderCase", "meshConfig.defaultConfig.proxyHeaders.preserveHttp1HeaderCase", boolean},
}

var forwardings = oneOf("UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")

// mesh takes the mesh's configuration. Its fields may be written in either of
// the ways that protobuf allows.
func (c *conversion) mesh(n node, top place) {
	for _, f := range meshFields {
		if path, ok := n.spelled(f.from); ok {
			c.move(n, top, []field{{path, f.to, f.as}})
		}
	}
	if status, ok := n.at("defaultConfig.statusPort"); ok && status.value == float64(15020) {
		status.use()
	}
}

// spelled returns a path as the object has it: each name as JSON has it, or as
// protobuf declares it.
func (n node) spelled(path string) (string, bool) {
	var names []string
	for name := range strings.SplitSeq(path, ".") {
		child, ok := n.at(name)
		if !ok {
			name = underscored(name)
			child, ok = n.at(name)
		}
		if !ok {
			return "", false
		}
		n = child
		names = append(names, name)
	}
	return strings.Join(names, "."), true
}

// underscored returns the name of a field as protobuf declares it.
func underscored(name string) string {
	var out strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			out.WriteByte('_')
			r = unicode.ToLower(r)
		}
		out.WriteRune(r)
	}
	return out.String()
}

// empty takes the object that has no fields.
func empty(value any) (any, error) {
	if m, ok := value.(map[string]any); !ok || len(m) > 0 {
		return nil, errors.New("must be {}")
	}
	return value, nil
}
