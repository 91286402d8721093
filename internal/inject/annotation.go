// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

// Annotations of a pod that change its proxy.
const (
	annotationImage         = "sidecar.istio.io/proxyImage"
	annotationImageType     = "sidecar.istio.io/proxyImageType"
	annotationCPU           = "sidecar.istio.io/proxyCPU"
	annotationMemory        = "sidecar.istio.io/proxyMemory"
	annotationCPULimit      = "sidecar.istio.io/proxyCPULimit"
	annotationMemoryLimit   = "sidecar.istio.io/proxyMemoryLimit"
	annotationLogLevel      = "sidecar.istio.io/logLevel"
	annotationComponents    = "sidecar.istio.io/componentLogLevel"
	annotationAgentLog      = "sidecar.istio.io/agentLogLevel"
	annotationRewrite       = "sidecar.istio.io/rewriteAppHTTPProbers"
	annotationMode          = "sidecar.istio.io/interceptionMode"
	annotationNative        = "sidecar.istio.io/nativeSidecar"
	annotationVolumes       = "sidecar.istio.io/userVolume"
	annotationMounts        = "sidecar.istio.io/userVolumeMount"
	annotationStatsPrefixes = "sidecar.istio.io/statsInclusionPrefixes"
	annotationStatsSuffixes = "sidecar.istio.io/statsInclusionSuffixes"
	annotationStatsRegexps  = "sidecar.istio.io/statsInclusionRegexps"
	annotationStatusPort    = "status.sidecar.istio.io/port"
	annotationDelay         = "readiness.status.sidecar.istio.io/initialDelaySeconds"
	annotationPeriod        = "readiness.status.sidecar.istio.io/periodSeconds"
	annotationFailures      = "readiness.status.sidecar.istio.io/failureThreshold"
	annotationMerge         = "prometheus.istio.io/merge-metrics"
	annotationInPorts       = "traffic.sidecar.istio.io/includeInboundPorts"
	annotationNotInPorts    = "traffic.sidecar.istio.io/excludeInboundPorts"
	annotationOutPorts      = "traffic.sidecar.istio.io/includeOutboundPorts"
	annotationNotOutPorts   = "traffic.sidecar.istio.io/excludeOutboundPorts"
	annotationOutRanges     = "traffic.sidecar.istio.io/includeOutboundIPRanges"
	annotationNotOutRanges  = "traffic.sidecar.istio.io/excludeOutboundIPRanges"
	annotationNotInterfaces = "traffic.sidecar.istio.io/excludeInterfaces"
)

// annotation is one that users may put on pods. docs/agent.md has the same list.
type annotation struct {
	name   string
	served bool
	note   string // what it does, or why it does nothing
}

// annotations are all annotations of pods that Istio's API knows
// (https://istio.io/latest/docs/reference/config/annotations/), and what becomes of them.
var annotations = []annotation{
	{"ambient.istio.io/bypass-inbound-capture", false, "there is no ambient mode"},
	{"ambient.istio.io/dns-capture", false, "there is no ambient mode"},
	{"ambient.istio.io/redirection", false, "there is no ambient mode"},
	{"inject.istio.io/templates", false, "there is one way to inject; change the containers istio-proxy and istio-init in the pod's spec"},
	{"istio.io/reroute-virtual-interfaces", false, "traffic of virtual machines inside of pods is not captured"},
	{placement.LabelRevision, true, "set by the mesh on its own objects; on pods it is the label that counts"},
	{annotationMerge, true, "`false` leaves the application's own metrics page to Prometheus"},
	{proxyconfig.Annotation, true, "settings of the proxy, see below"},
	{"proxy.istio.io/overrides", false, "the pod's spec itself keeps the changes to the containers"},
	{"readiness.status.sidecar.istio.io/applicationPorts", false, "the proxy's readiness is its own; the application has probes of its own"},
	{annotationFailures, true, "failures after which the proxy counts as not ready"},
	{annotationDelay, true, "pause before the first readiness probe"},
	{annotationPeriod, true, "seconds between readiness probes"},
	{annotationAgentLog, true, "log level of the agent; of levels for scopes, `default` and `all` count"},
	{"sidecar.istio.io/bootstrapOverride", false, "the proxy's first configuration is the agent's own"},
	{annotationComponents, true, "log levels of components of Envoy, such as `upstream:debug`"},
	{"sidecar.istio.io/discoveryAddress", false, "a pod belongs to the control plane that injects it"},
	{"sidecar.istio.io/extraStatTags", false, "metrics get their tags from Telemetry"},
	{LabelInject, true, "whether to inject, where the label of the same name is not set"},
	{annotationMode, true, "`NONE` captures nothing; `TPROXY` is served as `REDIRECT`, with a warning"},
	{annotationLogLevel, true, "log level of Envoy"},
	{annotationNative, true, "the proxy is always a native sidecar; `false` has no effect, with a warning"},
	{annotationCPU, true, "CPU request of the proxy"},
	{annotationCPULimit, true, "CPU limit of the proxy"},
	{annotationImage, true, "image of the proxy"},
	{annotationImageType, true, "`default` and `distroless` are the one image that there is; others have no effect, with a warning"},
	{annotationMemory, true, "memory request of the proxy"},
	{annotationMemoryLimit, true, "memory limit of the proxy"},
	{annotationRewrite, true, "`false` leaves the application's probes as they are"},
	{"sidecar.istio.io/statsCompression", false, "the agent compresses the page if the scraper asks for that"},
	{"sidecar.istio.io/statsEvictionInterval", false, "metrics stay"},
	{"sidecar.istio.io/statsFlushInterval", false, "metrics are read when the page is"},
	{"sidecar.istio.io/statsHistogramBins", false, "histograms are Envoy's"},
	{"sidecar.istio.io/statsHistogramBuckets", false, "histograms are Envoy's"},
	{annotationStatsPrefixes, true, "metrics of Envoy to keep besides the usual ones"},
	{annotationStatsRegexps, true, "likewise"},
	{annotationStatsSuffixes, true, "likewise"},
	{placement.AnnotationState, true, "written by the mesh: what was injected"},
	{annotationVolumes, true, "volumes to add, JSON: a list, or a map by name"},
	{annotationMounts, true, "where the proxy mounts them, likewise"},
	{annotationStatusPort, true, "only 15020, where the agent always listens; others have no effect, with a warning"},
	{annotationNotInPorts, true, "ports of the pod that are not captured"},
	{annotationNotInterfaces, true, "network interfaces whose traffic is not captured"},
	{annotationNotOutRanges, true, "destinations that are not captured"},
	{annotationNotOutPorts, true, "destination ports that are not captured"},
	{annotationInPorts, true, "the only ports of the pod that are captured; `*` all"},
	{annotationOutRanges, true, "the only destinations that are captured; `*` all"},
	{annotationOutPorts, true, "destination ports that are captured whatever the address"},
	{"traffic.sidecar.istio.io/kubevirtInterfaces", false, "traffic of virtual machines inside of pods is not captured"},
}

// annotationFamilies are the prefixes under which users expect the proxy to be configured.
var annotationFamilies = []string{
	"sidecar.istio.io/", "traffic.sidecar.istio.io/", "proxy.istio.io/", "inject.istio.io/", "prometheus.istio.io/",
	"status.sidecar.istio.io/", "readiness.status.sidecar.istio.io/", "ambient.istio.io/",
}

// idleAnnotations says, sorted, which annotations look like ours but have no effect, and why.
func idleAnnotations(have map[string]string) []string {
	var out []string
	for name := range have {
		known := slices.IndexFunc(annotations, func(a annotation) bool { return a.name == name })
		ours := slices.ContainsFunc(annotationFamilies, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		switch {
		case known >= 0 && !annotations[known].served:
			out = append(out, "metadata.annotations["+name+"]: has no effect in this mesh: "+annotations[known].note)
		case known < 0 && ours:
			out = append(out, "metadata.annotations["+name+"]: not supported by this mesh, it has no effect")
		}
	}
	slices.Sort(out)
	return out
}
