// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Replicas knows which processes that entries name are there.
type Replicas interface {
	// Alive is true also when nobody knows.
	Alive(ctx context.Context, controller string) bool
}

// outside begins the name of a process that runs in no pod.
const outside = "@"

// Self names a process: POD/START, or @HOST/START outside of a pod. A pod that restarts its container has another name.
func Self(pod, host string, start time.Time) string {
	name := pod
	if name == "" {
		name = outside + host
	}
	return name + "/" + strconv.FormatInt(start.UnixNano(), 36)
}

// Pods reads pods of one namespace. The typed client's Pods() is one.
type Pods interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Pod, error)
}

// pods asks for the pods of other replicas.
type pods struct {
	client Pods
	own    string
}

// NewReplicas finds replicas in the namespace of the control plane; own is the pod of this process, or empty.
func NewReplicas(client Pods, own string) Replicas { return pods{client, own} }

func (p pods) Alive(ctx context.Context, controller string) bool {
	pod, _, ok := strings.Cut(controller, "/")
	switch {
	case !ok || pod == "":
		return false // not written by us
	case strings.HasPrefix(pod, outside):
		return true // nobody can tell
	case pod == p.own:
		return false // a process before this one, or this one would be named
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	found, err := p.client.Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return !apierrors.IsNotFound(err)
	}
	return found.Status.Phase != corev1.PodFailed && found.Status.Phase != corev1.PodSucceeded
}
