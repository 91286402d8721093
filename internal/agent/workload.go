// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/meshwright/meshwright/internal/agent/discovery"
	"github.com/meshwright/meshwright/internal/agent/health"
	"github.com/meshwright/meshwright/internal/agent/probe"
)

const (
	msgHealthy   = "the workload is healthy"
	msgUnhealthy = "the workload is not healthy"
	msgNoHealth  = "the control plane cannot be told of the workload's health"
)

// tellHealth probes the workload of a machine and tells the control plane, once there is a certificate to show.
func (a *agent) tellHealth(ctx context.Context, p health.Probe) {
	log := a.log.WithName("health")
	node, err := a.config.Pod.AgentMessage()
	if err != nil {
		log.Error(err, msgNoHealth)
		return
	}
	reporter := discovery.NewReporter(a.config.DiscoveryAddress, node, a.keeper.Current, log)
	go func() {
		select {
		case <-ctx.Done():
		case <-a.keeper.First():
			reporter.Run(ctx)
		}
	}()
	checker := probe.NewChecker(a.config.Pod.IPs[0].String(), a.config.PassthroughSource)
	health.Watch(ctx, p, checker.Check, func(problem string) {
		if problem == "" {
			log.Info(msgHealthy)
		} else {
			log.Info(msgUnhealthy, "problem", problem)
		}
		reporter.Tell(problem)
	})
}
