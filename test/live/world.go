// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package live runs a mesh small enough for a test and real enough to trust: the
// whole control plane, and for each pod a network namespace of its own with an
// address, the packet rules of the agent, and the real Envoy with the agent's own
// bootstrap and certificates. Only the API server and the kubelet are left out:
// objects are given as manifests, and EndpointSlices are made of the pods.
//
// It needs root and iptables. Nothing of it can be reached from outside.
package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/internal/ca"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/mesh"
	"github.com/meshwright/meshwright/internal/projection"
	"github.com/meshwright/meshwright/test/cluster/host"
	"github.com/meshwright/meshwright/test/scenario"
)

// Patience is how long anything may take before it counts as never.
const Patience = 20 * time.Second

const (
	trustDomain   = "cluster.local"
	clusterDomain = "cluster.local"
	// RootNamespace is where policies hold for the whole mesh.
	RootNamespace = "istio-system"
)

var scope = projection.Scope{Cluster: "east", Domain: clusterDomain}

// World is one mesh. It ends with its test.
type World struct {
	t         testing.TB
	dir       string
	authority *ca.Authority
	inbox     *intake.Inbox
	mesh      *mesh.Mesh
	switched  namespace // where the pods' cables end
	// Drain is how long proxies that start from now on let connections to a
	// listener end that is changed. It is short, or tests would wait for them.
	Drain time.Duration

	mu       sync.Mutex
	pods     []*Pod
	services map[string]*corev1.Service // NAMESPACE/NAME
	names    map[string][]netip.Addr    // that the pods' name servers know
	status   *status
}

// New starts a control plane. The options change the mesh-wide settings.
func New(t testing.TB, options ...func(*ir.Mesh)) *World {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a live mesh makes network namespaces and must run as root")
	}
	if err := host.Require(t.Context(), func(line string) { t.Log(line) }, "iptables", "iptables-restore"); err != nil {
		t.Fatal(err)
	}
	settings := &ir.Mesh{
		TrustDomain: trustDomain, RootNamespace: RootNamespace, ClusterDomain: clusterDomain, ClusterID: scope.Cluster,
	}
	for _, o := range options {
		o(settings)
	}
	w := &World{t: t, dir: directory(t), inbox: intake.NewInbox(), services: map[string]*corev1.Service{}, names: map[string][]netip.Addr{}, status: newStatus(), Drain: time.Second}
	bundle, err := ca.NewBundle(trustDomain, time.Now())
	w.must(err)
	w.authority, err = ca.NewAuthority(bundle, 0, nil)
	w.must(err)
	w.mesh, err = mesh.New(mesh.Options{Intake: source{w.inbox}, Status: w.status, Settings: settings, Log: logr.Discard()})
	w.must(err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.mesh.Run(ctx) })
	<-w.mesh.Ready()
	server := grpc.NewServer()
	w.mesh.Hub().Register(server)
	listener, err := net.Listen("unix", w.discovery())
	w.must(err)
	w.must(os.Chmod(w.discovery(), 0o666)) // proxies run as another user
	running.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		stop()
		running.Wait()
	})
	w.switched = w.newSwitch()
	return w
}

// directory is one that the proxies' user may enter, with a path short enough for
// sockets; testing's own is neither.
func directory(t testing.TB) string {
	dir, err := os.MkdirTemp("", "live") //nolint:usetesting // for the reasons above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// binary is Envoy where the proxies' user can run it: the cache is often below a
// home that only its owner may enter.
func (w *World) binary(previous bool) string {
	find, name := envoy.Path, "envoy"
	if previous {
		find, name = envoy.Previous.Path, "previous"
	}
	cached, err := find("")
	w.must(err)
	path := filepath.Join(w.dir, name)
	if err := os.Link(cached, path); err == nil || errors.Is(err, fs.ErrExist) {
		return path
	}
	content, err := os.ReadFile(cached)
	w.must(err)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		w.must(os.WriteFile(path, content, 0o755))
	}
	return path
}

func (w *World) discovery() string { return filepath.Join(w.dir, "xds") }

// source is an intake that has read everything at once.
type source struct{ *intake.Inbox }

func (source) Synced() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// Apply reads manifests of the kinds that the control plane reads, but for Pods and
// EndpointSlices of pods, which are made by Start. A Secret is checked against the
// clock.
func (w *World) Apply(manifests string) {
	w.t.Helper()
	var rest []string
	for _, text := range strings.Split(strings.TrimSpace(manifests), "\n---\n") {
		var secret corev1.Secret
		service := &corev1.Service{}
		switch kindOf(text) {
		case "Secret":
			w.must(yaml.UnmarshalStrict([]byte(text), &secret))
			data := map[string][]byte{}
			for k, v := range secret.StringData {
				data[k] = []byte(v)
			}
			w.Secret(secret.Namespace, secret.Name, data)
			continue
		case "Service":
			w.must(yaml.UnmarshalStrict([]byte(text), service))
			w.mu.Lock()
			w.services[service.Namespace+"/"+service.Name] = service
			w.mu.Unlock()
		}
		rest = append(rest, text)
	}
	var failed error
	w.inbox.Put(func(b *intake.Batch) {
		for _, text := range rest {
			if err := scenario.Stage(b, text); err != nil {
				failed = err
			}
		}
		w.stageSlices(b)
	})
	w.must(failed)
}

// Delete removes an object that Apply brought.
func (w *World) Delete(kind, namespace, name string) {
	w.t.Helper()
	var failed error
	w.inbox.Put(func(b *intake.Batch) {
		if kind == "Service" {
			w.mu.Lock()
			delete(w.services, namespace+"/"+name)
			w.mu.Unlock()
			for _, k := range sliceKeys(namespace, name) {
				b.Slices[k] = nil
			}
		}
		failed = scenario.StageRemoval(b, kind, namespace, name)
	})
	w.must(failed)
}

// Secret is a Secret of a gateway's namespace.
func (w *World) Secret(namespace, name string, data map[string][]byte) {
	in := &corev1.Secret{Data: data}
	in.Namespace, in.Name = namespace, name
	row := scope.Secret(in, time.Now())
	w.inbox.Put(func(b *intake.Batch) { b.Credentials[ir.ConfigKey{Namespace: namespace, Name: name}] = row })
}

// Eventually tries until there is no error.
func (w *World) Eventually(what string, try func() error) {
	w.t.Helper()
	var err error
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	w.t.Fatalf("%s: %v", what, err)
}

// Allocated is the IPv4 address that the mesh gave to a host of a ServiceEntry.
func (w *World) Allocated(host string) string {
	w.t.Helper()
	var out string
	w.Eventually("an address for "+host, func() error {
		if out = w.status.address(host); out == "" {
			return errors.New("there is none")
		}
		return nil
	})
	return out
}

// Problems is what users are told now: OBJECT CONDITION REASON MESSAGE.
func (w *World) Problems() []string { return w.status.lines() }

// Refused is what proxies did not take.
func (w *World) Refused() []string {
	w.status.mu.Lock()
	defer w.status.mu.Unlock()
	return slices.Clone(w.status.refused)
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func kindOf(text string) string {
	var head struct {
		Kind string `json:"kind"`
	}
	if yaml.Unmarshal([]byte(text), &head) != nil {
		return ""
	}
	return head.Kind
}

// status keeps what the control plane has to say.
type status struct {
	mu        sync.Mutex
	projected map[ir.Origin][]ir.Problem
	derived   map[ir.Origin][]ir.Problem
	refused   []string
	allocated map[ir.Origin]*ir.Allocated
}

func newStatus() *status {
	return &status{allocated: map[ir.Origin]*ir.Allocated{}, projected: map[ir.Origin][]ir.Problem{}, derived: map[ir.Origin][]ir.Problem{}}
}

func (s *status) Projected(m map[ir.Origin]intake.ConfigStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o, st := range m {
		s.projected[o] = st.Problems
	}
}

func (s *status) Problems(m map[ir.Origin][]ir.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o, problems := range m {
		s.derived[o] = problems
	}
}

func (s *status) Rejected(o ir.Origin, resource, _, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, fmt.Sprintf("%s Rejected %s: %s", o, resource, message))
}

func (s *status) Superseded(...string) {}

func (s *status) Allocated(m map[ir.Origin]*ir.Allocated) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o, got := range m {
		s.allocated[o] = got
	}
}

func (s *status) address(host string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, got := range s.allocated {
		if got == nil {
			continue
		}
		for i := range got.Addresses {
			if got.Addresses[i].Host == host {
				return got.Addresses[i].Addr.String() // the IPv4 one
			}
		}
	}
	return ""
}

// Moved is of no use to tests: they call until what they expect is there.
func (s *status) Moved([]ir.Origin) {}

func (s *status) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := append([]string(nil), s.refused...)
	for _, m := range []map[ir.Origin][]ir.Problem{s.projected, s.derived} {
		for _, problems := range m {
			for _, p := range problems {
				out = append(out, fmt.Sprintf("%s %s %s %s", p.Origin, p.Condition, p.Reason, p))
			}
		}
	}
	return out
}
