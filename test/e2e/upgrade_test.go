// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	// fleetSize workloads stand in as many namespaces as there are tiers.
	fleetSize  = 30
	fleetTiers = 3
	fleetHost  = "fleet.e2e.example"
	// half of the load goes through a sidecar, half through the ingress gateway.
	halfRate     = 150
	upgradeLimit = 8 * time.Minute
	// nextTag is the tag of the images that an upgrade leads to; they are built
	// from the same sources.
	nextSuffix = "-next"
)

func fleetSpace(tier int) string { return fmt.Sprintf("e2e-fleet-%d", tier) }

var (
	fleetOnce sync.Once
	fleetErr  error
)

// fleet makes sure that there are workloads of one replica each, and a client
// that nobody restarts: a pod without a controller.
func fleet(t *testing.T) {
	t.Helper()
	installed(t)
	fleetOnce.Do(func() {
		fleetErr = startFleet(t.Context(), string(data(t, "upgrade/workload.yaml")), string(data(t, "upgrade/routes.yaml")))
	})
	must(t, fleetErr)
}

func startFleet(ctx context.Context, workload, rules string) error {
	var routes []string
	for tier := range fleetTiers {
		if err := cluster.MakeNamespace(ctx, fleetSpace(tier), map[string]string{"istio-injection": "enabled", "tier": fmt.Sprint(tier)}); err != nil {
			return err
		}
		for i := tier; i < fleetSize; i += fleetTiers {
			if err := cluster.Apply(ctx, fleetSpace(tier), []byte(strings.ReplaceAll(workload, "NAME", fmt.Sprintf("app-%02d", i)))); err != nil {
				return err
			}
			routes = append(routes, fmt.Sprintf("{weight: 1, destination: {host: app-%02d.%s.svc.cluster.local, port: {number: 8080}}}", i, fleetSpace(tier)))
		}
	}
	rules = strings.ReplaceAll(strings.ReplaceAll(rules, "ROUTES", strings.Join(routes, ", ")), "HOST", fleetHost)
	if err := cluster.Apply(ctx, fleetSpace(0), []byte(rules)); err != nil {
		return err
	}
	for tier := range fleetTiers {
		if err := cluster.WaitDeployments(ctx, 2*podLimit, fleetSpace(tier)); err != nil {
			return err
		}
	}
	if _, err := cluster.WaitCondition(ctx, changeLimit, env.VirtualService, fleetSpace(0), "fleet", "Programmed", "True"); err != nil {
		return err
	}
	return env.Eventually(ctx, podLimit, "the client", func(ctx context.Context) error {
		r, err := cluster.Call(ctx, fleetSpace(0), "app=client", "echo", "http://fleet:8080", "--count=30")
		if err != nil {
			return err
		}
		return answered(r)
	})
}

// whileLoaded sends 300 requests a second through sidecars and the ingress
// gateway, without retries, while work runs; none may fail.
func whileLoaded(t *testing.T, work func(context.Context) error) {
	t.Helper()
	address, err := cluster.Address(t.Context(), changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wait sync.WaitGroup
	var inside []env.Report
	var failed error
	var outside []env.Result
	wait.Go(func() {
		// The client's report comes at the end of a piece; pieces follow each other.
		for ctx.Err() == nil {
			r, err := cluster.Call(t.Context(), fleetSpace(0), "app=client", "echo", "http://fleet:8080",
				fmt.Sprintf("--rps=%d", halfRate), "--count=0", "--duration=5s", "--concurrency=16")
			if err != nil {
				failed = err
				return
			}
			inside = append(inside, r)
		}
	})
	wait.Go(func() {
		outside = env.Load(ctx, env.Request{URL: "http://" + fleetHost + "/", Address: address + ":80", RPS: halfRate, Concurrency: 16})
	})
	start := time.Now()
	time.Sleep(leadTime)
	if err := work(ctx); err != nil {
		t.Error(err)
	}
	time.Sleep(settleTime)
	stop()
	took := time.Since(start)
	wait.Wait()
	must(t, failed)
	total := 0
	for _, r := range inside {
		total += r.Requests
		if r.Failed() > 0 {
			t.Errorf("through sidecars: %s", r)
		}
	}
	report := env.Summary(outside, env.VersionField)
	if report.Failed() > 0 {
		t.Errorf("through the gateway: %s", report)
	}
	t.Logf("in %.0f s %d requests through sidecars; through the gateway: %s", took.Seconds(), total, report)
	// Less is the machine's doing; much less is no load.
	if want := int(took.Seconds() * halfRate / 2); total < want || report.Requests < want {
		t.Errorf("want at least %d requests each way: the load was not what it should be", want)
	}
	if after, err := cluster.Address(t.Context(), changeLimit, env.MeshNamespace, env.IngressGateway); err != nil || after != address {
		t.Errorf("the gateway's address was %s, is %s (%v)", address, after, err)
	}
}

// ask changes the MeshOperator: the sample with an image and a strategy.
func ask(ctx context.Context, image, strategy string) error {
	manifest, err := os.ReadFile(meshManifest)
	if err != nil {
		return err
	}
	object := map[string]any{}
	if err := yaml.Unmarshal(manifest, &object); err != nil {
		return err
	}
	for field, text := range map[string]string{"image": image, "upgradeStrategy": strategy} {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return err
		}
		if value != nil {
			object["spec"].(map[string]any)[field] = value
		}
	}
	changed, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, err = cluster.ApplyMesh(ctx, changed)
	return err
}

// mesh reads the MeshOperator.
func mesh(ctx context.Context) (*v1alpha1.MeshOperator, error) {
	u, err := cluster.Get(ctx, env.MeshOperator, "", "mesh")
	if err != nil {
		return nil, err
	}
	out := &v1alpha1.MeshOperator{}
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out)
}

// eventually looks at the MeshOperator until it is as wanted.
func eventually(ctx context.Context, what string, wanted func(*v1alpha1.MeshOperator) bool) (*v1alpha1.MeshOperator, error) {
	var last *v1alpha1.MeshOperator
	err := env.Eventually(ctx, upgradeLimit, what, func(ctx context.Context) error {
		m, err := mesh(ctx)
		if err != nil {
			return err
		}
		if last = m; !wanted(m) {
			text, _ := json.Marshal(m.Status)
			return fmt.Errorf("status %s", text)
		}
		return nil
	})
	return last, err
}

func isReady(m *v1alpha1.MeshOperator) bool {
	for _, c := range m.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == metav1.ConditionTrue && c.ObservedGeneration == m.Generation
		}
	}
	return false
}

// proxies counts the fleet's pods by the image of their proxies.
func proxies(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for tier := range fleetTiers {
		pods, err := cluster.Kube.CoreV1().Pods(fleetSpace(tier)).List(ctx, metav1.ListOptions{LabelSelector: "fleet=yes"})
		if err != nil {
			return nil, err
		}
		for i := range pods.Items {
			if c, ok := env.Sidecar(&pods.Items[i]); ok && pods.Items[i].DeletionTimestamp == nil {
				out[c.Image]++
			}
		}
	}
	return out, nil
}

// image is a spec.image with the tag of the images, and what follows it.
func image(suffix string) string {
	return fmt.Sprintf("{registry: %q, tag: %q}", cluster.Registry, cluster.Tag+suffix)
}

const canary = `{type: Canary, progressDeadlineSeconds: 120, canary: {maxUnavailable: 5, gracePeriodSeconds: 5, ` +
	`steps: [{percent: 10, soakSeconds: 5}, {namespaces: {matchLabels: {tier: "1"}}, soakSeconds: 5}, {percent: 100, soakSeconds: 5}]}}`

// The control plane and the gateways are replaced in place, and back.
func testInPlaceUpgrade(t *testing.T) {
	fleet(t)
	whileLoaded(t, func(ctx context.Context) error {
		for _, suffix := range []string{nextSuffix, ""} {
			start := time.Now()
			if err := ask(ctx, image(suffix), "{type: InPlace}"); err != nil {
				return err
			}
			m, err := eventually(ctx, "the upgrade in place", func(m *v1alpha1.MeshOperator) bool {
				return isReady(m) && len(m.Status.History) > 0 && m.Status.History[0].Identity.Tag == cluster.Tag+suffix
			})
			if err != nil {
				return err
			}
			t.Logf("%s after %.0f s", m.Status.History[0].Identity.Tag, time.Since(start).Seconds())
		}
		return nil
	})
}

// Workloads move to a new control plane in steps; what it replaces goes when
// the last pod of it has gone.
func testCanaryUpgrade(t *testing.T) {
	fleet(t)
	var steps []string
	whileLoaded(t, func(ctx context.Context) error {
		start := time.Now()
		if err := ask(ctx, image(nextSuffix), canary); err != nil {
			return err
		}
		_, err := eventually(ctx, "the canary upgrade", func(m *v1alpha1.MeshOperator) bool {
			if up := m.Status.Upgrade; up != nil && up.Phase == v1alpha1.UpgradeSoaking {
				if step := fmt.Sprintf("%d: %d of %d", up.Step, up.Moved, up.Total); len(steps) == 0 || steps[len(steps)-1] != step {
					steps = append(steps, step)
				}
			}
			return isReady(m) && m.Status.Upgrade == nil && len(m.Status.History) > 0 && m.Status.History[0].Identity.Tag == cluster.Tag+nextSuffix
		})
		t.Logf("moved after %.0f s; steps %v", time.Since(start).Seconds(), steps)
		return err
	})
	got, err := proxies(t.Context())
	must(t, err)
	if len(got) != 1 || got[cluster.Registry+"/proxy:"+cluster.Tag+nextSuffix] != fleetSize {
		t.Errorf("proxies of the fleet: %v", got)
	}
	m, err := mesh(t.Context())
	must(t, err)
	if len(m.Status.Revisions) != 2 {
		t.Errorf("revisions %+v; want the old one, too: the client is on it", m.Status.Revisions)
	}
	must(t, cluster.Kube.CoreV1().Pods(fleetSpace(0)).Delete(t.Context(), "client", metav1.DeleteOptions{}))
	_, err = eventually(t.Context(), "the old control plane gone", func(m *v1alpha1.MeshOperator) bool {
		return len(m.Status.Revisions) == 1 && m.Status.Revisions[0].Serving
	})
	must(t, err)
	must(t, env.Eventually(t.Context(), podLimit, "no Deployment of the old control plane", func(ctx context.Context) error {
		list, err := cluster.Kube.AppsV1().Deployments(env.MeshNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=meshwright"})
		if err != nil || len(list.Items) == 1 {
			return err
		}
		return fmt.Errorf("%d Deployments", len(list.Items))
	}))
}

// A proxy that crashes is seen at the first step, and everything goes back.
func testCanaryUndone(t *testing.T) {
	fleet(t)
	before, err := proxies(t.Context())
	must(t, err)
	whileLoaded(t, func(ctx context.Context) error {
		start := time.Now()
		bad := strings.TrimSuffix(image(""), "}") + fmt.Sprintf(", proxy: %q}", cluster.Registry+"/echo:"+cluster.Tag)
		if err := ask(ctx, bad, canary); err != nil {
			return err
		}
		m, err := eventually(ctx, "the upgrade undone", func(m *v1alpha1.MeshOperator) bool {
			return m.Status.Upgrade != nil && m.Status.Upgrade.Phase == v1alpha1.UpgradeFailed
		})
		if err != nil {
			return err
		}
		t.Logf("undone after %.0f s: %s", time.Since(start).Seconds(), m.Status.Upgrade.Message)
		if m.Status.Upgrade.Step != 1 {
			return fmt.Errorf("it came to step %d, want 1", m.Status.Upgrade.Step)
		}
		return ask(ctx, image(""), canary)
	})
	_, err = eventually(t.Context(), "the mesh as it was", func(m *v1alpha1.MeshOperator) bool {
		return isReady(m) && m.Status.Upgrade == nil && len(m.Status.Revisions) == 1
	})
	must(t, err)
	after, err := proxies(t.Context())
	must(t, err)
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("proxies of the fleet: %v, want %v", after, before)
	}
	for tier := range fleetTiers {
		list, err := cluster.Kube.AppsV1().Deployments(fleetSpace(tier)).List(t.Context(), metav1.ListOptions{})
		must(t, err)
		for _, d := range list.Items {
			if mark, has := d.Spec.Template.Annotations[v1alpha1.AnnotationProxyRevision]; has {
				t.Errorf("Deployment %s/%s keeps the annotation %q in its template", d.Namespace, d.Name, mark)
			}
		}
	}
}
