// SPDX-License-Identifier: Apache-2.0

package istiooperator

import "strings"

// reasons say of fields why nothing is made of them, and what to do instead.
// The first that fits is given.
var reasons = []struct{ prefix, reason string }{
	{"spec.installPackagePath", "the charts are in the operator"},
	{"spec.compatibilityVersion", "there is no older behaviour to fall back to"},
	{"spec.unvalidatedValues", "these are values for charts of Istio; say it with a MeshOperator's values or overlays"},
	{"spec.components.cni", "the DaemonSet of the CNI plugin has nothing for it"},
	{"spec.values.cni", "the chart of the CNI plugin has nothing for it"},
	{"spec.values.istio_cni", "say it with components.cni"},
	{"spec.values.pilot.cni", "say it with components.cni.enabled: whether pods are injected for the plugin follows"},
	{"spec.components.ztunnel", "there is no ambient mode"},
	{"spec.values.ztunnel", "there is no ambient mode"},
	{"spec.components.istiodRemote", "a control plane elsewhere is not installed by this operator"},
	{"spec.values.istiodRemote", "a control plane elsewhere is not installed by this operator"},
	{"spec.components.base", "the CRDs have no settings"},
	{"spec.values.base", "the CRDs have no settings"},
	{"spec.values.gateways.istio-", "no gateway of that side is installed, or a gateway has nothing for it"},
	{"spec.values.pilot.traceSampling", "say it with a Telemetry: tracing.randomSamplingPercentage"},
	{"spec.meshConfig.enableTracing", "say it with a Telemetry: tracing"},
	{"spec.meshConfig.defaultConfig.tracing", "say it with a Telemetry: tracing"},
	{"spec.meshConfig.accessLog", "say it with a Telemetry: accessLogging"},
	{"spec.values.global.tracer", "say it with a Telemetry: tracing"},
	{"spec.values.telemetry", "proxies always count; say which metrics with a Telemetry"},
	{"spec.values.global.proxy.resources", "say it on pods: the annotations sidecar.istio.io/proxyCPU, proxyMemory, proxyCPULimit and proxyMemoryLimit"},
	{"spec.values.global.proxy.logLevel", "say it on pods: the annotation sidecar.istio.io/logLevel"},
	{"spec.values.sidecarInjectorWebhook", "the injector has no such setting"},
	{"spec.values.global.priorityClassName", "every Deployment says it itself"},
	{"spec.values.global.default", "every Deployment says it itself"},
	{"spec.values.kiali", "add-ons are installed on their own"},
	{"spec.values.grafana", "add-ons are installed on their own"},
	{"spec.values.prometheus", "add-ons are installed on their own"},
	{"spec.values.tracing", "add-ons are installed on their own"},
	{"spec.addonComponents", "add-ons are installed on their own"},
}

func reason(path string) string {
	for _, r := range reasons {
		if strings.HasPrefix(path, r.prefix) {
			return r.reason
		}
	}
	switch {
	case strings.Contains(path, ".hpaSpec"):
		return "an autoscaler has minReplicas, maxReplicas and the use of CPU"
	case strings.Contains(path, ".k8s"):
		return "a Deployment of this mesh has nothing for it; say it with an overlay"
	}
	return "a MeshOperator has nothing for it"
}
