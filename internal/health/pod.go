// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Trouble returns the most telling reason why one of pods is not ready, with
// the pod's name, or "" when none tells anything.
func Trouble(pods []corev1.Pod) string {
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil {
			continue
		}
		if what := podTrouble(pod); what != "" {
			return "pod " + pod.Name + ": " + what
		}
	}
	return ""
}

func podTrouble(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "not scheduled: " + c.Message
		}
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range list {
			if what := containerTrouble(c); what != "" {
				return what
			}
		}
	}
	return ""
}

func containerTrouble(c corev1.ContainerStatus) string {
	if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
		what := fmt.Sprintf("container %s: %s", c.Name, w.Reason)
		if w.Message != "" {
			what += ": " + w.Message
		}
		if last := c.LastTerminationState.Terminated; last != nil {
			what += fmt.Sprintf(" (last exit code %d)", last.ExitCode)
		}
		return what
	}
	if c.State.Running != nil && !c.Ready {
		return fmt.Sprintf("container %s runs but is not ready", c.Name)
	}
	return ""
}

// lost are the reasons of waiting containers that do not start by being waited for.
var lost = []string{
	"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "ErrImagePull", "ImageInspectError",
	"ImagePullBackOff", "InvalidImageName", "RunContainerError",
}

// Broken says that one of the named containers of a pod fails again and again,
// or cannot be started at all; "" when none does.
func Broken(pod *corev1.Pod, containers ...string) string {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range list {
			w := c.State.Waiting
			switch last := c.LastTerminationState.Terminated; {
			case !slices.Contains(containers, c.Name):
			case w != nil && slices.Contains(lost, w.Reason):
				return "pod " + pod.Name + ": " + containerTrouble(c)
			case !c.Ready && c.RestartCount >= brokenRestarts && last != nil:
				return fmt.Sprintf("pod %s: container %s ended %d times, the last time with exit code %d", pod.Name, c.Name, c.RestartCount, last.ExitCode)
			}
		}
	}
	return ""
}

// brokenRestarts is how often a container that is not ready may have been started
// again before it counts as broken.
const brokenRestarts = 2
