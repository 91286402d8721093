// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/node"
	"github.com/meshwright/meshwright/test/cluster/process"
)

// getEnv makes the test's own program fetch a URL and print the answer; that
// is how a test asks from within a node's or pod's network.
const getEnv = "MESHWRIGHT_TEST_GET"

func TestMain(m *testing.M) {
	if url := os.Getenv(getEnv); url != "" {
		text, err := get(url)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(text)
		return
	}
	os.Exit(m.Run())
}

// rig runs the real command against a state directory of the test's own.
type rig struct {
	*testing.T
	program, dir string
	registry     address.Registry
}

func newRig(t *testing.T) *rig {
	t.Helper()
	registry, err := address.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, program: filepath.Join(t.TempDir(), "cluster"), dir: t.TempDir(), registry: registry}
	if out, err := exec.Command("go", "build", "-o", r.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v: %s", err, out)
	}
	return r
}

// run runs the command and returns what it printed.
func (r *rig) run(args ...string) (stdout string, err error) {
	cmd := exec.Command(r.program, append([]string{"--dir", r.dir}, args...)...)
	var out, errors strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("cluster %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errors.String()))
	}
	return out.String(), nil
}

func (r *rig) must(args ...string) string {
	r.Helper()
	out, err := r.run(args...)
	if err != nil {
		r.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// up brings a cluster up and takes it down at the end, whatever happens.
func (r *rig) up(name string, flags ...string) *kubernetes.Clientset {
	r.Helper()
	r.Cleanup(func() {
		if _, err := r.run("down", name); err != nil {
			r.Error(err)
		}
	})
	kubeconfig := r.must(append([]string{"up", name}, flags...)...)
	layout := r.layout(name)
	if kubeconfig != layout.Kubeconfig() {
		r.Errorf("up printed %q, want the kubeconfig %q", kubeconfig, layout.Kubeconfig())
	}
	config, err := layout.Client()
	if err != nil {
		r.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		r.Fatal(err)
	}
	return client
}

func (r *rig) layout(name string) node.Layout {
	r.Helper()
	l, err := node.NewLayout(r.dir, name)
	if err != nil {
		r.Fatal(err)
	}
	return l
}

func (r *rig) claim(name string) address.Claim {
	r.Helper()
	c, found, err := r.registry.Find(r.layout(name).Dir)
	if err != nil || !found {
		r.Fatalf("cluster %s has no claim (%v)", name, err)
	}
	return c
}

func (r *rig) record(cluster, service string) process.Record {
	r.Helper()
	record, ok := process.Read(filepath.Join(r.dir, cluster, "run", service+".pid"))
	if !ok || !record.Alive() {
		r.Fatalf("%s of %s does not run", service, cluster)
	}
	return record
}

// kill ends a process of a cluster the hard way.
func (r *rig) kill(cluster, service string) {
	r.Helper()
	record := r.record(cluster, service)
	if err := syscall.Kill(record.PID, syscall.SIGKILL); err != nil {
		r.Fatal(err)
	}
	r.eventually("the end of "+service, func() error {
		if record.Alive() {
			return fmt.Errorf("process %d still runs", record.PID)
		}
		return nil
	})
}

func (r *rig) eventually(what string, try func() error) {
	r.Helper()
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	r.Fatalf("%s: %v", what, err)
}

// nothingLeft fails when anything of the cluster is on the machine.
func (r *rig) nothingLeft(c address.Claim) {
	r.Helper()
	left, err := node.Leftovers(c)
	if err != nil {
		r.Fatal(err)
	}
	for _, l := range left {
		r.Errorf("cluster %s left %s", c.Name, l)
	}
	if _, found, err := r.registry.Find(c.State); found || err != nil {
		r.Errorf("cluster %s still has its number (%v)", c.Name, err)
	}
	if entries, err := filepath.Glob(filepath.Join(filepath.Dir(c.State), "*"+c.Name+"*")); len(entries) > 0 || err != nil {
		r.Errorf("cluster %s left files %v (%v)", c.Name, entries, err)
	}
}

func get(url string) (string, error) {
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return string(text), err
}

// getFrom asks from the network of a process.
func getFrom(pid int, url string) (string, error) {
	cmd := exec.Command("nsenter", "--target", fmt.Sprint(pid), "--net", "--", os.Args[0])
	cmd.Env = append(os.Environ(), getEnv+"="+url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

// TestUpDownLeavesNothing brings two clusters up at once, uses them as tests
// of the mesh do, and checks that their end leaves no trace.
func TestUpDownLeavesNothing(t *testing.T) {
	r := newRig(t)
	clients := map[string]*kubernetes.Clientset{}
	var lock sync.Mutex
	var wait sync.WaitGroup
	for _, name := range []string{"one", "two"} {
		wait.Go(func() {
			client := r.up(name)
			lock.Lock()
			defer lock.Unlock()
			clients[name] = client
		})
	}
	wait.Wait()
	if len(clients) != 2 {
		t.Fatal("not both clusters are up")
	}
	webs := map[string]web{}
	for name, client := range clients {
		webs[name] = deployWeb(r, name, client)
		checkFromHost(r, name, webs[name])
		checkLogsAndExec(r, r.layout(name), client, webs[name].pod)
	}
	holder := r.record("one", "holder").PID
	for what, url := range map[string]string{
		// As the API server calls webhooks.
		"own service":                        "http://" + webs["one"].service + "/health",
		"a pod of the other cluster":         "http://" + webs["two"].pod.Status.PodIP + ":8080/health",
		"load balancer of the other cluster": "http://" + webs["two"].balancer + "/health",
	} {
		r.eventually(what+" from a node", func() error {
			_, err := getFrom(holder, url)
			return err
		})
	}
	claims := []address.Claim{r.claim("one"), r.claim("two")}
	for _, c := range claims {
		// The check must see what is there, or it proves nothing later.
		if left, err := node.Leftovers(c); err != nil || len(left) < 5 {
			t.Errorf("of the running cluster %s only %v is seen (%v)", c.Name, left, err)
		}
	}
	r.must("down", "one")
	r.nothingLeft(claims[0])
	if _, err := get("http://" + webs["two"].balancer + "/health"); err != nil {
		t.Errorf("the other cluster suffered: %v", err)
	}
	r.must("down", "two")
	r.nothingLeft(claims[1])
	r.must("down", "two") // nothing to do is no error
}

// TestNetworksAreApart: pods of another network are out of reach, gateways are
// not.
func TestNetworksAreApart(t *testing.T) {
	r := newRig(t)
	r.up("here")
	w := deployWeb(r, "there", r.up("there", "--network", "other"))
	holder := r.record("here", "holder").PID
	r.eventually("the load balancer of another network", func() error {
		_, err := getFrom(holder, "http://"+w.balancer+"/health")
		return err
	})
	if _, err := getFrom(holder, "http://"+w.pod.Status.PodIP+":8080/health"); err == nil {
		t.Error("a pod of another network is reached directly")
	}
}

// TestUpRepairs kills parts of a cluster, in every way that a crash can.
func TestUpRepairs(t *testing.T) {
	r := newRig(t)
	client := r.up("broken")
	w := deployWeb(r, "broken", client)
	healthy := func(after string) {
		t.Helper()
		r.must("up", "broken")
		// A kubelet that starts anew calls its pods not ready until it has probed them.
		r.eventually("a good status after "+after, func() error {
			_, err := r.run("status", "broken")
			return err
		})
		r.eventually("the service after "+after, func() error {
			_, err := get("http://" + w.balancer + "/health")
			return err
		})
	}
	holder := r.record("broken", "holder")
	for _, service := range []string{"kubelet", "containerd", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "load-balancer"} {
		r.kill("broken", service)
		if _, err := r.run("status", "broken"); err == nil || !strings.Contains(err.Error(), service) {
			t.Errorf("status without %s says %v", service, err)
		}
		healthy("the end of " + service)
	}
	if r.record("broken", "holder") != holder {
		t.Error("the node's namespaces were made anew without need")
	}
	pod, err := client.CoreV1().Pods("default").Get(context.Background(), w.pod.Name, metav1.GetOptions{})
	if err != nil || pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod did not live through it (%v)", err)
	}
	r.kill("broken", "holder")
	healthy("the end of the holder")

	claim := r.claim("broken")
	// A checkout that is deleted while its cluster runs.
	r.eventually("the removal of the state", func() error { return os.RemoveAll(claim.State) })
	r.must("up", "broken")
	r.must("status", "broken")
	if again := r.claim("broken"); again != claim {
		t.Errorf("the cluster came back as %+v, want %+v", again, claim)
	}
	r.eventually("the removal of the state", func() error { return os.RemoveAll(claim.State) })
	r.must("down", "broken")
	r.nothingLeft(claim)
}

// TestBare runs an API server alone, and repairs it.
func TestBare(t *testing.T) {
	r := newRig(t)
	client := r.up("alone", "--bare")
	ctx := context.Background()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"etcd", "kube-apiserver"} {
		r.kill("alone", service)
		r.must("up", "alone", "--bare")
		if _, err := client.CoreV1().Namespaces().Get(ctx, "kept", metav1.GetOptions{}); err != nil {
			t.Errorf("after the end of %s: %v", service, err)
		}
	}
	if _, err := r.run("up", "alone"); err == nil || !strings.Contains(err.Error(), "--bare") {
		t.Errorf("a bare cluster was made a full one: %v", err)
	}
	records := []process.Record{r.record("alone", "etcd"), r.record("alone", "kube-apiserver")}
	r.must("down", "alone")
	for _, record := range records {
		if record.Alive() {
			t.Errorf("process %d still runs", record.PID)
		}
	}
}
