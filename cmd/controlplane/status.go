// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/status"
)

// statuses gathers what is to be said of objects on every replica, and writes it on the leader.
type statuses struct {
	*status.Aggregator
	board *status.Board
}

func newStatuses(env environment, current func(ir.Origin) []byte) (*statuses, error) {
	config, client := env.manager.GetConfig(), env.manager.GetHTTPClient()
	writer, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client for status: %w", err)
	}
	typed, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client for refusals: %w", err)
	}
	replica, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this replica: %w", err)
	}
	log := env.log.WithName("status")
	out := &statuses{Aggregator: status.New(status.Options{
		Writer: status.NewWriter(writer), Teller: status.NewTeller(writer, replica), Current: status.FromStatus(current), Log: log,
	})}
	out.board = &status.Board{
		Client: typed.CoreV1().ConfigMaps(env.options.namespace), Name: report.Board,
		Replica: replica, Revision: env.options.revision, Aggregator: out.Aggregator, Log: log,
	}
	return out, nil
}

// run tells the leader what this replica's proxies refuse, and writes status while this replica leads.
func (s *statuses) run(ctx context.Context, env environment) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.board.Post(ctx) })
	group.Go(func() error {
		return lead(ctx, env.manager.GetConfig(), env.options, env.log.WithName("election"), func(ctx context.Context) error {
			go s.board.Read(ctx)
			return s.Start(ctx)
		})
	})
	return group.Wait()
}
