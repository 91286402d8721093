// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/ownport"
)

const (
	// prestopEnv hands the agent the secret part of the hook's path, so that nobody else can drain the pod.
	prestopEnv  = "PRESTOP_TOKEN"
	prestopPath = "/prestop/"
)

// hookAll has the kubelet tell the agent that a pod is about to stop, before it stops the application: a native sidecar
// hears of the end only after the application has gone, when requests on their way have found nobody. A container with
// a hook of its own keeps it. It returns the token that the agent must know, empty when no container took the hook.
//
// See https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/.
func hookAll(pod *corev1.Pod, token string, out *patch) string {
	hooked := false
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if isOurs(c.Name) || c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			continue
		}
		hooked = true
		hook := map[string]any{"httpGet": map[string]any{"path": prestopPath + token, "port": ownport.Status, "scheme": "HTTP"}}
		path := "/spec/containers/" + strconv.Itoa(i) + "/lifecycle"
		if c.Lifecycle == nil {
			out.add(path, map[string]any{"preStop": hook})
		} else {
			out.add(path+"/preStop", hook)
		}
	}
	if !hooked {
		return ""
	}
	return token
}
