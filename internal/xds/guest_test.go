// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type guest chan string

func (g guest) Health(problem string) { g <- "health: " + problem }
func (g guest) Left()                 { g <- "left" }

func TestGuestIsTold(t *testing.T) {
	told := make(guest, 10)
	s := one(t, Options{Guest: func(n *core.Node, _ Peer) (Guest, error) {
		if n.GetId() == "unwanted" {
			return nil, status.Error(codes.FailedPrecondition, "there is no such group")
		}
		if n.GetId() != "machine" {
			return nil, nil
		}
		return told, nil
	}}, res(ListenerType, "l1", "1"))
	c := s.connect(t, "a", "machine")
	health := func(detail *rpc.Status) {
		c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: HealthType, ErrorDetail: detail})
	}
	health(&rpc.Status{Code: 500, Message: "connection refused"})
	health(&rpc.Status{Code: 500})
	health(nil)
	c.subscribe(ListenerType)
	c.take("Listener l1=1") // and nothing about health
	c.cancel()
	for _, want := range []string{"health: connection refused", "health: the workload is not healthy", "health: ", "left"} {
		select {
		case got := <-told:
			if got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("not told %q", want)
		}
	}

	// A stream that nobody asked about may say the same, and is served.
	pod := s.connect(t, "a", "pod")
	pod.send(&discovery.DeltaDiscoveryRequest{TypeUrl: HealthType})
	pod.subscribe(ListenerType)
	pod.take("Listener l1=1")

	refused := s.connect(t, "a", "unwanted")
	refused.subscribe(ListenerType)
	if _, ok := <-refused.got; ok || status.Code(refused.err) != codes.FailedPrecondition {
		t.Errorf("an unwanted stream ended with %v", errors.Join(refused.err))
	}
	if len(told) > 0 {
		t.Errorf("told %q of others", <-told)
	}
}
