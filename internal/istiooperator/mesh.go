// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"errors"
	"strings"
	"unicode"
)

// meshFields are the fields of the mesh's configuration that have a
// counterpart. What the MeshOperator has no field for goes to the chart.
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
	{"localityLbSetting", "meshConfig.localityLbSetting", object},
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

	{"pathNormalization.normalization", chart + "pathNormalization.normalization", oneOf("DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES")},
	{"defaultConfig.terminationDrainDuration", chart + "defaultConfig.terminationDrainDuration", duration},
	{"defaultConfig.holdApplicationUntilProxyStarts", chart + "defaultConfig.holdApplicationUntilProxyStarts", boolean},
	{"defaultConfig.image.imageType", chart + "defaultConfig.image.imageType", oneOf("", "default", "distroless")},
	{"defaultConfig.gatewayTopology.numTrustedProxies", chart + "defaultConfig.gatewayTopology.numTrustedProxies", integer(0, 64)},
	{"defaultConfig.gatewayTopology.forwardClientCertDetails", chart + "defaultConfig.gatewayTopology.forwardClientCertDetails", oneOf("UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")},
	{"defaultConfig.proxyStatsMatcher.inclusionPrefixes", chart + "defaultConfig.proxyStatsMatcher.inclusionPrefixes", textList},
	{"defaultConfig.proxyStatsMatcher.inclusionSuffixes", chart + "defaultConfig.proxyStatsMatcher.inclusionSuffixes", textList},
	{"defaultConfig.proxyStatsMatcher.inclusionRegexps", chart + "defaultConfig.proxyStatsMatcher.inclusionRegexps", textList},
}

// chart is where the chart of the control plane has the mesh's configuration.
const chart = "values.controlplane.meshConfig."

// mesh takes the mesh's configuration. Its fields may be written in either of
// the ways that protobuf allows.
func (c *conversion) mesh(n node, top place) {
	for _, f := range meshFields {
		c.move(n, top, []field{f})
		if snake := underscored(f.from); snake != f.from {
			c.move(n, top, []field{{snake, f.to, f.as}})
		}
	}
	if status, ok := n.at("defaultConfig.statusPort"); ok && status.value == float64(15020) {
		status.use()
	}
}

// underscored returns a path with the names of fields as protobuf declares them.
func underscored(path string) string {
	var out strings.Builder
	for _, r := range path {
		if unicode.IsUpper(r) {
			out.WriteByte('_')
			r = unicode.ToLower(r)
		}
		out.WriteRune(r)
	}
	return out.String()
}

// object takes any object; an empty one says nothing.
func object(value any) (any, error) {
	m, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("must be an object")
	}
	if len(m) == 0 {
		return nil, nil
	}
	return m, nil
}
