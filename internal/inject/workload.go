// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cronJobName matches what the CronJob controller names its Jobs: the CronJob, then the scheduled minute since 1970.
var cronJobName = regexp.MustCompile(`^(.+)-\d{8,10}$`)

// maxLabelValue is the longest label value that Kubernetes takes.
const maxLabelValue = 63

// workloadName is the name of what the user wrote to get this pod: the Deployment rather than its ReplicaSet, the
// CronJob rather than its Job. A pod without a controller is its own workload.
func workloadName(pod *corev1.Pod) string {
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		switch owner.Kind {
		case "ReplicaSet":
			if hash := pod.Labels["pod-template-hash"]; hash != "" {
				return strings.TrimSuffix(owner.Name, "-"+hash)
			}
		case "Job":
			if m := cronJobName.FindStringSubmatch(owner.Name); m != nil {
				return m[1]
			}
		}
		return owner.Name
	}
	if pod.Name != "" {
		return pod.Name
	}
	return strings.TrimSuffix(pod.GenerateName, "-")
}

// canonicalName is the service that the pod belongs to for telemetry: the first label that users set for that purpose.
func canonicalName(pod *corev1.Pod) string {
	name := firstLabel(pod, workloadName(pod), "service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
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
