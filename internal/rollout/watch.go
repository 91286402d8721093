// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// syncLimit bounds how long the first sight of all workloads may take.
const syncLimit = 30 * time.Second

// Watch follows workloads while somebody needs to know of them, and costs
// nothing otherwise. It is safe for concurrent use.
type Watch struct {
	// Config, Scheme and Mapper are those of the manager.
	Config *rest.Config
	Scheme *runtime.Scheme
	Mapper meta.RESTMapper

	mu     sync.Mutex
	cache  cache.Cache
	cancel context.CancelFunc
}

// errUnsynced says that the workloads could not all be read.
var errUnsynced = errors.New("the workloads were not all read in time")

// Reader returns what reads workloads, budgets and namespaces, which are all known when it
// returns. The watch goes on until Stop.
func (w *Watch) Reader(ctx context.Context) (client.Reader, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cache != nil {
		return w.cache, nil
	}
	started, err := cache.New(w.Config, cache.Options{Scheme: w.Scheme, Mapper: w.Mapper, DefaultTransform: strip})
	if err != nil {
		return nil, fmt.Errorf("watch workloads: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	for _, kind := range []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &policyv1.PodDisruptionBudget{}, &corev1.Namespace{}} {
		if _, err := started.GetInformer(running, kind, cache.BlockUntilSynced(false)); err != nil {
			cancel()
			return nil, fmt.Errorf("watch workloads: %w", err)
		}
	}
	// It ends with the context; an error that it returns then says nothing.
	go func() { _ = started.Start(running) }()
	limit, done := context.WithTimeout(ctx, syncLimit)
	defer done()
	if !started.WaitForCacheSync(limit) {
		cancel()
		return nil, errUnsynced
	}
	w.cache, w.cancel = started, cancel
	return started, nil
}

// Stop ends the watch.
func (w *Watch) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
	}
	w.cache, w.cancel = nil, nil
}

// strip keeps of an object what this package looks at: the mesh of thousands of
// workloads must fit into an operator.
func strip(object any) (any, error) {
	if _, gone := object.(toolscache.DeletedFinalStateUnknown); gone {
		return object, nil
	}
	switch o := object.(type) {
	case *corev1.Namespace:
		o.ManagedFields, o.Annotations = nil, nil
	case *appsv1.Deployment:
		stripMeta(&o.ObjectMeta)
		o.Spec.Template = stripTemplate(o.Spec.Template)
		o.Status.Conditions = nil
	case *appsv1.StatefulSet:
		stripMeta(&o.ObjectMeta)
		o.Spec.Template = stripTemplate(o.Spec.Template)
		o.Spec.VolumeClaimTemplates, o.Status.Conditions = nil, nil
	case *appsv1.DaemonSet:
		stripMeta(&o.ObjectMeta)
		o.Spec.Template = stripTemplate(o.Spec.Template)
		o.Status.Conditions = nil
	case *policyv1.PodDisruptionBudget:
		stripMeta(&o.ObjectMeta)
		o.Status.DisruptedPods, o.Status.Conditions = nil, nil
	}
	return object, nil
}

func stripMeta(m *metav1.ObjectMeta) {
	kept := map[string]string{}
	if before, has := m.Annotations[v1alpha1.AnnotationProxyRevisionBefore]; has {
		kept[v1alpha1.AnnotationProxyRevisionBefore] = before
	}
	m.ManagedFields, m.Annotations, m.Labels, m.OwnerReferences = nil, kept, nil, nil
}

func stripTemplate(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	out := corev1.PodTemplateSpec{}
	out.Labels = t.Labels
	if mark, has := t.Annotations[v1alpha1.AnnotationProxyRevision]; has {
		out.Annotations = map[string]string{v1alpha1.AnnotationProxyRevision: mark}
	}
	return out
}
