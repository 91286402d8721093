// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/meshwright/meshwright/internal/apply"
)

// Pace of the leader's lease: one request in retryPeriod, all that an operator at
// rest sends. Another replica takes over leaseDuration after a leader was lost.
const (
	leaseDuration = 25 * time.Second
	renewDeadline = 15 * time.Second
	retryPeriod   = 5 * time.Second
)

// Variables of the environment that say in which pod this process is.
const (
	podVariable       = "POD_NAME"
	namespaceVariable = "POD_NAMESPACE"
)

// lease is the lock of the leader. Its holder is the pod, not the process: a container that was killed is followed by
// another one of the same pod, which goes on at once instead of waiting until the lease of the dead one has run out;
// the kubelet never runs two. It is nil outside a pod, where nothing of that kind holds.
func (o options) lease(config *rest.Config) (resourcelock.Interface, error) {
	pod := os.Getenv(podVariable)
	if pod == "" || !o.leaderElect {
		return nil, nil
	}
	namespace := cmp.Or(o.namespace, os.Getenv(namespaceVariable))
	if namespace == "" {
		return nil, fmt.Errorf("set up the leader's lease: %s is set and %s is not; set both from the pod's fields, or give --namespace", podVariable, namespaceVariable)
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, apply.Manager,
		resourcelock.ResourceLockConfig{Identity: pod}, config, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("set up the leader's lease: %w", err)
	}
	return lock, nil
}
