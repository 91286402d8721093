// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/placement"
)

// maxLabelValue is the longest label value that Kubernetes takes.
const maxLabelValue = 63

// canonicalName is the service that the pod belongs to for telemetry: the first label that users set for that purpose.
func canonicalName(pod *corev1.Pod) string {
	name := firstLabel(pod, placement.Of(pod).Name, "service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
	if len(name) > maxLabelValue {
		name = strings.TrimRight(name[:maxLabelValue], "-_.")
	}
	return name
}

func canonicalRevision(pod *corev1.Pod) string {
	return firstLabel(pod, "latest", "service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
}

func firstLabel(pod *corev1.Pod, otherwise string, names ...string) string {
	for _, name := range names {
		if value := pod.Labels[name]; value != "" {
			return value
		}
	}
	return otherwise
}
