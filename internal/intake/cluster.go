// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/meshwright/meshwright/internal/projection"
)

// Options say what is read from one API server.
type Options struct {
	// Config reaches the API server. Its rate limits are for the caller to set.
	Config *rest.Config
	// Scope names the cluster in the rows.
	Scope projection.Scope
	// SecretNamespaces is where Secrets are read: the namespaces of gateways. In
	// each, the user of Config needs a Role to list and watch Secrets.
	SecretNamespaces []string
	// Inbox takes the changes; several clusters may share one.
	Inbox *Inbox
	// Log tells of outages.
	Log logr.Logger
	// Now defaults to the system's clock; certificates are checked against it.
	Now func() time.Time
}

// Cluster reads services and workloads from one API server. While the server is away,
// everything that was read stays; when it is back, only differences are sent on.
type Cluster struct {
	*Inbox
	options Options
	sources []*source
	synced  chan struct{}
}

// NewCluster prepares the reading; Run starts it.
func NewCluster(options Options) (*Cluster, error) {
	if options.Config == nil || options.Inbox == nil {
		return nil, errors.New("a cluster needs a client configuration and an inbox")
	}
	if options.Log.GetSink() == nil {
		options.Log = logr.Discard()
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	c := &Cluster{Inbox: options.Inbox, options: options, synced: make(chan struct{})}
	if err := c.addWorkloads(); err != nil {
		return nil, fmt.Errorf("prepare reading cluster %s: %w", options.Scope.Cluster, err)
	}
	return c, nil
}

// Run reads until the context ends.
func (c *Cluster) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, s := range c.sources {
		running.Go(func() { s.run(ctx) })
	}
	running.Go(func() {
		for _, s := range c.sources {
			select {
			case <-s.synced:
			case <-ctx.Done():
				return
			}
		}
		close(c.synced)
	})
	running.Wait()
	return nil
}

// Synced is closed when all that existed at the start is in the inbox. Secrets
// of a namespace that may not be read count as absent.
func (c *Cluster) Synced() <-chan struct{} { return c.synced }

func (c *Cluster) add(s *source) *source {
	s.synced = make(chan struct{})
	s.log = c.options.Log
	c.sources = append(c.sources, s)
	return s
}

func missing(err error) bool { return apierrors.IsNotFound(err) }

func forbidden(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) }
