// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	msgLeading  = "leading: this replica writes the status of objects"
	msgFollower = "no longer leading"

	// The times that Kubernetes' own controllers use: a leader that died is followed within leaseDuration.
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// leaseName is the same for all revisions in a namespace: two leaders would write over each other's status.
const leaseName = "meshwright"

// lead runs work on one replica of all revisions at a time, until the context ends. A replica that cannot renew its lease, because the
// API server is away, only stops the work and tries again: the proxies that it serves must not lose their streams.
func lead(ctx context.Context, config *rest.Config, o *options, log logr.Logger, work func(context.Context) error) error {
	if !o.leaderElect {
		return work(ctx)
	}
	lock, err := lease(config, o)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := term(ctx, lock, log, work); err != nil {
			return err
		}
	}
	return nil
}

// term waits to be elected and works until the lease is lost or the context ends.
func term(ctx context.Context, lock resourcelock.Interface, log logr.Logger, work func(context.Context) error) error {
	done := make(chan error, 1)
	started := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, Name: lock.Describe(), ReleaseOnCancel: true,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				close(started)
				log.Info(msgLeading)
				done <- work(ctx)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	elector.Run(ctx)
	if ctx.Err() != nil {
		select {
		case <-started:
			return <-done
		default:
			return nil // it was never elected
		}
	}
	log.Info(msgFollower)
	return <-done
}

func lease(config *rest.Config, o *options) (resourcelock.Interface, error) {
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(config), "leader-election"))
	if err != nil {
		return nil, fmt.Errorf("client for leader election: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this replica: %w", err)
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, o.namespace, leaseName, client.CoreV1(), client.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())})
	if err != nil {
		return nil, fmt.Errorf("lease %s/%s: %w", o.namespace, leaseName, err)
	}
	return lock, nil
}
