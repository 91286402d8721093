// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/selfcheck"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// discovered is two control planes, as the operator sees them.
type discovered struct {
	client.Reader
	board   map[string]string
	away    error
	proxies map[string]report.Proxies // by the name of the Service
	asked   int
}

func (d *discovered) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if key != (client.ObjectKey{Namespace: "istio-system", Name: "meshwright-refusals"}) {
		return errors.New("read " + key.String())
	}
	into.(*corev1.ConfigMap).Data = d.board
	return d.away
}

func (d *discovered) Proxies(_ context.Context, c selfcheck.ControlPlane) (report.Proxies, error) {
	d.asked++
	p, ok := d.proxies[c.ServerName]
	if !ok {
		return report.Proxies{}, errors.New("no replica of " + c.ServerName + " is ready")
	}
	return p, nil
}

// TestAnalyseProxies: a step is not well while moved proxies refuse what those before did not refuse.
func TestAnalyseProxies(t *testing.T) {
	note := func(revision, resource string) string {
		return `{"revision":"` + revision + `","refusals":[{"object":"VirtualService app/a","resource":"` + resource + `","message":"no"}]}`
	}
	seen := &discovered{board: map[string]string{"old-1": note("default", "80/bad"), "broken": "{"}, proxies: map[string]report.Proxies{
		"meshwright.istio-system.svc": {Connected: 2}, "meshwright-default-2.istio-system.svc": {Connected: 3, Rejecting: 1},
	}}
	r := &Reconciler{Reader: seen, Prober: seen}
	w := upgrade.World{
		Now: time.Unix(1e9, 0), Status: &v1alpha1.UpgradeStatus{From: "default", To: "default-2", Phase: v1alpha1.UpgradeMoving, Step: 1},
		Workloads: []upgrade.Workload{
			{Workload: placement.Workload{Name: "moved"}, Pods: map[string]int{"default-2": 3}, Settled: true},
			{Workload: placement.Workload{Name: "starts"}, Pods: map[string]int{"default-2": 5}},
			{Workload: placement.Workload{Name: "old"}, Pods: map[string]int{"default": 2}, Settled: true},
		},
	}
	look := func(what, want string) {
		t.Helper()
		got := r.analyse(t.Context(), "mesh", "istio-system", w)
		if got.Good != (want == "") || !strings.Contains(got.Missing, want) {
			t.Errorf("%s: %+v, want %q", what, got, want)
		}
	}
	look("while workloads are moved", "")
	if seen.asked > 0 {
		t.Errorf("control planes were asked while workloads are moved")
	}
	// The proxy that refused it before has moved, and the replica that it was connected to is gone.
	w.Status.Phase, seen.board = v1alpha1.UpgradeSoaking, map[string]string{"new-1": note("default-2", "80/bad")}
	look("what both refused", "")
	seen.board["new-2"] = note("default-2", "80/other")
	look("within ten seconds", "")
	w.Now = w.Now.Add(analysisPace)
	look("what only the new ones refuse", "1 of 3 proxies of default-2 refuse some of their configuration: 80/other of VirtualService app/a: no")
	if seen.asked != 4 {
		t.Errorf("control planes were asked %d times, want 4", seen.asked)
	}

	next := func(change func()) {
		w.Now = w.Now.Add(analysisPace)
		change()
	}
	next(func() {
		delete(seen.board, "new-2")
		seen.proxies["meshwright-default-2.istio-system.svc"] = report.Proxies{Connected: 2}
	})
	look("one that is not connected", "2 of 3 proxies of default-2 are connected")
	next(func() { seen.proxies["meshwright-default-2.istio-system.svc"] = report.Proxies{Connected: 3} })
	look("all well", "")
	next(func() { delete(seen.proxies, "meshwright.istio-system.svc") })
	look("without the old control plane", "")
	next(func() { delete(seen.proxies, "meshwright-default-2.istio-system.svc") })
	look("without the new control plane", "not known: no replica of meshwright-default-2.istio-system.svc is ready")
	next(func() { seen.away = errors.New("no API server") })
	look("without the API server", "what proxies refuse is not known")
	next(func() { r.Prober = nil })
	look("without self-checks", "")
}
