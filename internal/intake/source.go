// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// backoff is how often a list or watch that failed is tried again. The cap is what
// it takes at most to notice that an API server is back, or that a CRD was installed.
func backoff() *wait.Backoff {
	return &wait.Backoff{Duration: 250 * time.Millisecond, Factor: 1.8, Jitter: 0.5, Steps: 8, Cap: 5 * time.Second}
}

// Log messages and keys.
const (
	msgUnreadable = "Cannot read objects of a kind; what was read before stays in effect"
	msgAbsent     = "Objects of a kind cannot be read and count as absent until they can"
	msgReadable   = "Objects of a kind can be read again"
	keyResource   = "resource"
	keyNamespace  = "namespace"
)

// source lists and watches one resource into a store, for as long as it runs.
type source struct {
	client    rest.Interface
	resource  string
	namespace string // empty: all
	selector  fields.Selector
	example   runtime.Object
	store     cache.ReflectorStore
	log       logr.Logger

	// absent tells for which errors of a first list the resource counts as empty,
	// so that a missing CRD does not keep the control plane from starting. It
	// never withdraws anything that was read before.
	absent func(error) bool

	once   sync.Once
	synced chan struct{}

	mu     sync.Mutex
	broken bool
}

// run ends with its context.
func (s *source) run(ctx context.Context) {
	base := cache.NewFilteredListWatchFromClient(s.client, s.resource, s.namespace, func(o *metav1.ListOptions) {
		if s.selector != nil {
			o.FieldSelector = s.selector.String()
		}
	})
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := base.ListWithContextFunc(ctx, o)
			s.note(ctx, err, true)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := base.WatchFuncWithContext(ctx, o)
			s.note(ctx, err, false)
			return w, err
		},
	}
	// The reflector would log each attempt; note logs once per outage.
	silent := klog.NewContext(ctx, logr.Discard())
	discard := logr.Discard()
	r := cache.NewReflectorWithOptions(lw, s.example, s.store, cache.ReflectorOptions{
		Name: "intake/" + s.resource, TypeDescription: s.resource, Backoff: backoff(), Logger: &discard,
	})
	r.RunWithContext(silent)
}

// read marks the source as handed over.
func (s *source) read() { s.once.Do(func() { close(s.synced) }) }

func (s *source) isSynced() bool {
	select {
	case <-s.synced:
		return true
	default:
		return false
	}
}

// note logs the start and the end of an outage once each, and lets a first list
// that fails in an expected way count as an empty one.
func (s *source) note(ctx context.Context, err error, list bool) {
	if err != nil && ctx.Err() != nil {
		return // we are stopping
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if s.broken {
			s.log.Info(msgReadable, keyResource, s.resource, keyNamespace, s.namespace)
		}
		s.broken = false
		return
	}
	first := !s.isSynced()
	isAbsent := first && s.absent != nil && s.absent(err)
	if !s.broken && !expired(err) {
		s.broken = true
		if isAbsent {
			s.log.Info(msgAbsent, keyResource, s.resource, keyNamespace, s.namespace, "error", err.Error())
		} else {
			s.log.Error(err, msgUnreadable, keyResource, s.resource, keyNamespace, s.namespace)
		}
	}
	if isAbsent && list {
		s.read()
	}
}

// expired is the API server's way of asking for a new list, which is no outage.
func expired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }
