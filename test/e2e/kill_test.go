// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/test/e2e/env"
)

var (
	kills    = flag.Int("kills", 10, "how often TestKills kills the operator")
	killSeed = flag.Uint64("killseed", 0, "seed of the moments at which it does; 0: the clock's")
)

const (
	killSpace = "e2e-kills"
	// killedLife is how long an operator lives at most before it is killed. It needs about 2 s until it leads.
	killedLife = 4 * time.Second
	// mostKills is how often it is killed at most in one stage.
	mostKills = 12
)

// killer kills the operator at moments that a seed decides.
type killer struct {
	random *rand.Rand
	left   int
	last   int // the process that was killed last
	byName map[string]int
}

// TestKills kills the operator's process with SIGKILL while it installs a mesh, upgrades it, goes back, undoes an upgrade
// that cannot succeed, and uninstalls it, until it was killed as often as asked. Each stage ends as it would have
// ended without that, and nobody helps.
func TestKills(t *testing.T) {
	if _, _, err := localServer(); err != nil {
		t.Skipf("the operator's process is not on this machine: %v", err)
	}
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	k := &killer{random: rand.New(rand.NewPCG(seed, 0)), left: *kills, byName: map[string]int{}}
	ctx := t.Context()
	must(t, cluster.InstallOperator(ctx, installLimit, operatorChart))
	must(t, removeMeshes(ctx))
	must(t, cluster.DeleteNamespace(ctx, podLimit, killSpace))
	must(t, env.Eventually(ctx, podLimit, "a leader", func(ctx context.Context) error {
		_, err := cluster.Kube.CoordinationV1().Leases(env.OperatorNamespace).Get(ctx, "meshwright-operator", metav1.GetOptions{})
		return err
	}))
	before := settled(t)
	start, rounds := time.Now(), 0
	for ; k.left > 0; rounds++ {
		k.round(t, []string{"InPlace", "Canary"}[rounds%2], before)
	}
	t.Logf("seed %d: the operator was killed %d times in %d rounds of %.0f s: %v", seed, *kills, rounds, time.Since(start).Seconds()/float64(rounds), k.byName)
	must(t, cluster.UninstallOperator())
}

// round is the life of a mesh.
func (k *killer) round(t *testing.T, strategy string, before []string) {
	t.Helper()
	plan := fmt.Sprintf("{type: %s, progressDeadlineSeconds: 60}", strategy)
	if strategy == "Canary" {
		plan = `{type: Canary, progressDeadlineSeconds: 120, canary: {maxUnavailable: 1, gracePeriodSeconds: 1, ` +
			`steps: [{percent: 50, soakSeconds: 1}, {percent: 100, soakSeconds: 1}]}}`
	}
	at := func(tag string) func(context.Context) error {
		return reached(func(m *v1alpha1.MeshOperator) bool {
			return isReady(m) && m.Status.Upgrade == nil && len(m.Status.Revisions) == 1 && len(m.Status.History) > 0 && m.Status.History[0].Identity.Tag == tag
		})
	}
	asked := func(image string) func(context.Context) error {
		return func(ctx context.Context) error { return ask(ctx, image, plan) }
	}
	// In place a control plane that has no image, beside each other sidecars that crash.
	broken := image("-none")
	if strategy == "Canary" {
		broken = strings.TrimSuffix(image(""), "}") + fmt.Sprintf(", proxy: %q}", cluster.Registry+"/echo:"+cluster.Tag)
	}

	k.stage(t, strategy, "install", asked(image("")), at(cluster.Tag))
	must(t, startKillFleet(t.Context(), string(data(t, "upgrade/workload.yaml"))))
	k.stage(t, strategy, "upgrade", asked(image(nextSuffix)), at(cluster.Tag+nextSuffix))
	sameProxies(t, strategy == "Canary", nextSuffix)
	k.stage(t, strategy, "rollback", asked(image("")), at(cluster.Tag))
	sameProxies(t, true, "")
	k.stage(t, strategy, "undone upgrade", asked(broken), reached(func(m *v1alpha1.MeshOperator) bool {
		return m.Status.Upgrade != nil && m.Status.Upgrade.Phase == v1alpha1.UpgradeFailed
	}))
	sameProxies(t, true, "")
	must(t, cluster.WaitDeployments(t.Context(), podLimit, killSpace))
	must(t, asked(image(""))(t.Context()))
	must(t, env.Eventually(t.Context(), installLimit, "the mesh as it was", at(cluster.Tag)))
	must(t, cluster.WaitDeployments(t.Context(), podLimit, env.MeshNamespace))
	must(t, cluster.DeleteNamespace(t.Context(), podLimit, killSpace))
	k.stage(t, strategy, "uninstall", func(ctx context.Context) error {
		r, err := cluster.Resource(ctx, env.MeshOperator, "")
		if err != nil {
			return err
		}
		return r.Delete(ctx, "mesh", metav1.DeleteOptions{})
	}, func(ctx context.Context) error {
		after, going, err := inventory(ctx)
		if err != nil {
			return err
		}
		if more, less := missing(before, after), missing(after, before); len(more)+len(less)+len(going) > 0 {
			return fmt.Errorf("left over: %v; lost: %v; being deleted: %v", more, less, going)
		}
		return nil
	})
}

// stage begins something and kills the operator until it has ended, or often enough.
func (k *killer) stage(t *testing.T, strategy, name string, begin, ended func(context.Context) error) {
	t.Helper()
	ctx := t.Context()
	must(t, begin(ctx))
	start, killed := time.Now(), 0
	for want := min(k.left, 1+k.random.IntN(mostKills)); killed < want; killed++ {
		pid, err := operatorProcess(ctx, k.last)
		must(t, err)
		time.Sleep(time.Duration(k.random.Int64N(int64(killedLife))))
		if ended(ctx) == nil {
			break
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill the operator, process %d: %v", pid, err)
		}
		k.last = pid
	}
	k.left -= killed
	k.byName[name] += killed
	must(t, env.Eventually(ctx, upgradeLimit, name+" with "+strategy, ended))
	t.Logf("%s, %s: killed %d times, ended after %.0f s; %d kills are left", strategy, name, killed, time.Since(start).Seconds(), k.left)
}

// reached says whether the MeshOperator is as wanted.
func reached(wanted func(*v1alpha1.MeshOperator) bool) func(context.Context) error {
	return func(ctx context.Context) error {
		m, err := mesh(ctx)
		if err == nil && !wanted(m) {
			err = fmt.Errorf("status %+v", m.Status)
		}
		return err
	}
}

// startKillFleet starts workloads for an upgrade to move.
func startKillFleet(ctx context.Context, workload string) error {
	if err := cluster.MakeNamespace(ctx, killSpace, map[string]string{"istio-injection": "enabled"}); err != nil {
		return err
	}
	for i := range 3 {
		if err := cluster.Apply(ctx, killSpace, []byte(strings.ReplaceAll(workload, "NAME", fmt.Sprintf("app-%d", i)))); err != nil {
			return err
		}
	}
	return cluster.WaitDeployments(ctx, podLimit, killSpace)
}

// sameProxies wants all proxies of the workloads to be of one image, the first one's when nothing moves them.
func sameProxies(t *testing.T, moved bool, suffix string) {
	t.Helper()
	pods, err := cluster.Kube.CoreV1().Pods(killSpace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if !moved {
		suffix = ""
	}
	want, seen := cluster.Registry+"/proxy:"+cluster.Tag+suffix, 0
	for i := range pods.Items {
		if c, ok := env.Sidecar(&pods.Items[i]); ok && pods.Items[i].DeletionTimestamp == nil {
			if seen++; c.Image != want {
				t.Errorf("pod %s has proxy %s, want %s", pods.Items[i].Name, c.Image, want)
			}
		}
	}
	if seen < 3 {
		t.Errorf("%d pods with a proxy, want 3", seen)
	}
}

// operatorProcess waits for the process of the operator's container, another one than the last.
func operatorProcess(ctx context.Context, last int) (pid int, err error) {
	err = env.Eventually(ctx, podLimit, "the operator's process", func(ctx context.Context) error {
		pods, err := cluster.Kube.CoreV1().Pods(env.OperatorNamespace).List(ctx, metav1.ListOptions{LabelSelector: operatorSelector})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			if pid = processOf(string(pods.Items[i].UID), "operator"); pid > 0 && pid != last {
				return nil
			}
		}
		return errors.New("none")
	})
	return pid, err
}

// processOf finds a process of a pod by the cgroup that the kubelet gave to the pod.
func processOf(uid, command string) int {
	found, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range found {
		comm, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(comm)) != command {
			continue
		}
		dir := filepath.Dir(path)
		group, err := os.ReadFile(filepath.Join(dir, "cgroup"))
		if err != nil || !slices.Contains(strings.Split(strings.TrimSpace(string(group)), "/"), "pod"+uid) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil {
			return pid
		}
	}
	return 0
}
