// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshwright/meshwright/test/cluster/addon"
)

// waitReady waits until the node is ready, the default service account exists
// (pods need it), and the DNS answers. What was said of the node before since
// does not count: it may be the last word of a kubelet that died.
func (c *Cluster) waitReady(ctx context.Context, config *rest.Config, since time.Time, watch func() error) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", c.Name, err)
	}
	reason := ""
	step := func(what string, ready func() (bool, string, error)) error {
		err := poll(ctx, 2*time.Minute, 100*time.Millisecond, what, func() (bool, error) {
			if err := watch(); err != nil {
				return false, err
			}
			ok, why, err := ready()
			if err != nil {
				// The API server may answer an early question with an error.
				ok, why = false, err.Error()
			}
			reason = why
			return ok, nil
		})
		if errors.Is(err, errTimeout) {
			return fmt.Errorf("%w: %s; logs are in %s", err, reason, c.Logs())
		}
		return err
	}
	if err := step("the node "+c.nodeName(), func() (bool, string, error) { return nodeReady(ctx, client, c.nodeName(), since) }); err != nil {
		return err
	}
	if err := step("the default service account", func() (bool, string, error) {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err == nil, "it does not exist yet", err
	}); err != nil {
		return err
	}
	return step("the cluster's DNS", func() (bool, string, error) { return addon.Ready(ctx, client, c.claim.DNS()) })
}

func nodeReady(ctx context.Context, client kubernetes.Interface, name string, since time.Time) (bool, string, error) {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, "", err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			// The API server's times have whole seconds.
			if condition.LastHeartbeatTime.Time.Before(since.Truncate(time.Second)) {
				return false, "the kubelet has not reported since it started", nil
			}
			return condition.Status == corev1.ConditionTrue, condition.Message, nil
		}
	}
	return false, "the kubelet has not reported yet", nil
}
