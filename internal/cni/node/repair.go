// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Repairer deletes the pods of a node that started without the plugin, so that
// their controllers make them anew.
type Repairer struct {
	Clients kubernetes.Interface
	Node    string
	Log     logr.Logger
}

// Run watches the node's pods until the context ends.
func (r *Repairer) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(r.Clients, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", r.Node).String()
	}))
	informer := factory.Core().V1().Pods().Informer()
	look := func(object any) {
		if pod, ok := object.(*corev1.Pod); ok {
			r.look(ctx, pod)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, object any) { look(object) }})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	informer.RunWithContext(ctx)
	return nil
}

// look deletes a pod if it is broken. One that fails to go is looked at again
// when its container has failed again.
func (r *Repairer) look(ctx context.Context, pod *corev1.Pod) {
	if !broken(pod) {
		return
	}
	if !replaced(pod) {
		r.Log.Info("a pod that no controller makes anew started without the plugin; delete it", "namespace", pod.Namespace, "pod", pod.Name)
		return
	}
	err := r.Clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	switch {
	case err == nil:
		r.Log.Info("deleted a pod that started without the plugin", "namespace", pod.Namespace, "pod", pod.Name)
	case !apierrors.IsNotFound(err) && !apierrors.IsConflict(err):
		r.Log.Error(err, "deleting a pod that started without the plugin failed", "namespace", pod.Namespace, "pod", pod.Name)
	}
}
