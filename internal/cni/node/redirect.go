// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package node is the mesh's agent of a node: it puts the CNI plugin there and
// takes it away, redirects the traffic of the pods that the plugin tells of, and
// deletes pods that started before it was there.
package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/cni/socket"
)

// Pods reads pods.
type Pods interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Pod, error)
}

// Redirector redirects the traffic of pods.
type Redirector struct {
	// Pods returns the reader of a namespace.
	Pods func(namespace string) Pods
	// NameServers are the cluster's.
	NameServers []netip.Addr
	Log         logr.Logger
}

// Handle answers a question of the plugin.
func (r *Redirector) Handle(ctx context.Context, q socket.Question, namespace *os.File) error {
	pod, err := r.Pods(q.Namespace).Get(ctx, q.Pod, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		// A pod of the kubelet's own, or one that is gone: nobody has injected it.
		return nil
	}
	if err != nil {
		return fmt.Errorf("read pod %s/%s: %w", q.Namespace, q.Pod, err)
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return nil
	}
	if q.UID != "" && string(pod.UID) != q.UID {
		return fmt.Errorf("pod %s/%s is another one by now", q.Namespace, q.Pod)
	}
	flags, err := redirection(pod)
	if err != nil || flags == nil {
		return err
	}
	if q.Check {
		return within(namespace, func() error {
			marked, err := flags.Marked()
			if err == nil && !marked {
				err = errors.New("the traffic of this pod is not redirected")
			}
			return err
		})
	}
	err = within(namespace, func() error {
		if _, err := flags.Apply(ctx, nameServers(pod, r.NameServers), false); err != nil {
			return err
		}
		return flags.Mark()
	})
	if err != nil {
		r.Log.Info("redirecting a pod's traffic failed", "namespace", q.Namespace, "pod", q.Pod, "error", err.Error())
		return fmt.Errorf("redirect the traffic of pod %s/%s: %w", q.Namespace, q.Pod, err)
	}
	r.Log.V(1).Info("redirected a pod's traffic", "namespace", q.Namespace, "pod", q.Pod)
	return nil
}
