// SPDX-License-Identifier: Apache-2.0

package row

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// Options say where objects are read and where rows go.
type Options struct {
	Config *rest.Config
	Inbox  *intake.Inbox
	Log    logr.Logger
}

// Set is a controller for each kind of a list. All replicas run them: every replica
// serves proxies. They do not wait for the caches of a manager, which may wait for
// rights that have nothing to do with them.
type Set struct {
	controllers []controller.TypedController[types.NamespacedName]
	feeds       map[string]*intake.Feed // by kind
}

// NewSet prepares controllers; Run starts them.
func NewSet(options Options, kinds ...Kind) (*Set, error) {
	s := &Set{feeds: map[string]*intake.Feed{}}
	for _, k := range kinds {
		feed, err := intake.NewFeed(options.Config, k.Resource, k.Name, k.Status, options.Log)
		if err != nil {
			return nil, err
		}
		c, err := controller.NewTypedUnmanaged(k.Resource.Resource, controller.TypedOptions[types.NamespacedName]{
			Reconciler: &Reconciler{Kind: k, Feed: feed, Inbox: options.Inbox, Log: options.Log},
			// The start and the end of each controller are no news.
			LogConstructor: func(*types.NamespacedName) logr.Logger { return logr.Discard() },
			// Another set of a process, as tests have, has the same names.
			SkipNameValidation: new(true),
			UsePriorityQueue:   new(false),
		})
		if err != nil {
			return nil, fmt.Errorf("controller of %s: %w", k.Name, err)
		}
		if err := c.Watch(feed); err != nil {
			return nil, fmt.Errorf("controller of %s: %w", k.Name, err)
		}
		s.controllers, s.feeds[k.Name] = append(s.controllers, c), feed
	}
	return s, nil
}

// Run reads and reconciles until the context ends.
func (s *Set) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range s.controllers {
		group.Go(func() error { return c.Start(ctx) })
	}
	return group.Wait()
}

// Synced is closed, kind by kind, when all objects that existed at the start are in
// the inbox. A kind whose CRD is missing counts as absent.
func (s *Set) Synced() []<-chan struct{} {
	out := make([]<-chan struct{}, 0, len(s.feeds))
	for _, f := range s.feeds {
		out = append(out, f.Synced())
	}
	return out
}

// Status is the status, as JSON, that an object had when it was read last; nil when
// it is not known or has none.
func (s *Set) Status(origin ir.Origin) []byte {
	f := s.feeds[origin.Kind]
	if f == nil {
		return nil
	}
	return f.Status(types.NamespacedName{Namespace: origin.Namespace, Name: origin.Name})
}
