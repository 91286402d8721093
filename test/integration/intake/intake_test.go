// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package intake_test reads a real API server, through outages and before its CRDs
// are there, and writes status into it.
package intake_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/controllers/security"
	"github.com/meshwright/meshwright/controllers/traffic"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
	"github.com/meshwright/meshwright/internal/status"
	"github.com/meshwright/meshwright/test/integration/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = apiserver.Start(apiserver.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const patience = 30 * time.Second

var routes = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}

// world is everything that is read of an API server.
type world struct {
	*intake.Barrier
	configs *row.Set
}

func (w *world) Status(o ir.Origin) []byte { return w.configs.Status(o) }

func start(t *testing.T, config *rest.Config) *world {
	t.Helper()
	inbox, scope := intake.NewInbox(), projection.Scope{Cluster: "c", Domain: "cluster.local"}
	log := funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, t.Name(), prefix, args) }, funcr.Options{})
	c, err := intake.NewCluster(intake.Options{
		Config: config, Scope: scope, SecretNamespaces: []string{"default"}, Inbox: inbox, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	configs, err := row.NewSet(row.Options{Config: config, Inbox: inbox, Log: log},
		slices.Concat(traffic.Kinds(scope), security.Kinds(scope))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- c.Run(ctx) }()
	go func() { done <- configs.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return &world{intake.NewBarrier(inbox, append(configs.Synced(), c.Synced())...), configs}
}

func synced(t *testing.T, c *world) {
	t.Helper()
	select {
	case <-c.Synced():
	case <-time.After(patience):
		t.Fatal("not synced")
	}
}

// await drains until the condition holds; the batches that it saw are checked in turn.
func await(t *testing.T, c *world, what string, done func(intake.Batch) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case <-c.Wake():
			if done(c.Drain()) {
				return
			}
		case <-limit:
			t.Fatalf("%s did not come", what)
		}
	}
}

func create(t *testing.T, client dynamic.Interface, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	out, err := client.Resource(routes).Namespace(object.GetNamespace()).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const route = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: default}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}], timeout: %s}]}
`

// installCRDs runs in the first test, which shows that they may come later.
func installCRDs(t *testing.T) {
	t.Helper()
	dir, err := filepath.Abs("../../../charts/base/files/crds")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{Paths: []string{dir}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
}

func TestCluster(t *testing.T) {
	t.Run("kinds that come later", kindsThatComeLater)
	t.Run("everything at the start", everythingAtTheStart)
	t.Run("outage", outage)
	t.Run("status", writesStatus)
	t.Run("ingresses", writesIngresses)
}

func kindsThatComeLater(t *testing.T) {
	c := start(t, server.Config)
	synced(t, c) // without a single CRD
	installCRDs(t)
	create(t, dynamic.NewForConfigOrDie(server.Config), fmt.Sprintf(route, "late", "1s"))
	await(t, c, "a route of a kind that was installed later", func(b intake.Batch) bool {
		return b.Routes[ir.ConfigKey{Namespace: "default", Name: "late"}] != nil
	})
}

func everythingAtTheStart(t *testing.T) {
	ctx, clients := t.Context(), kubernetes.NewForConfigOrDie(server.Config)
	made := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made(clients.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}, metav1.CreateOptions{}))
	made(clients.DiscoveryV1().EndpointSlices("default").Create(ctx, slice("10.1.0.1"), metav1.CreateOptions{}))
	made(clients.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelTopologyZone: "z"}},
	}, metav1.CreateOptions{}))
	made(clients.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "broken"}, Data: map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y")},
	}, metav1.CreateOptions{}))
	made(clients.CoreV1().Secrets("kube-system").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}, Data: map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y")},
	}, metav1.CreateOptions{}))

	c := start(t, server.Config)
	synced(t, c)
	b := c.Drain()
	web := ir.ObjectKey{Cluster: "c", Namespace: "default", Name: "web"}
	if s := b.Services[web]; s == nil || len(s.VIPs) == 0 || s.Ports[0].Protocol != ir.ProtocolHTTP {
		t.Errorf("service = %+v", s)
	}
	if s := b.Slices[web]; s == nil || len(s.Endpoints) != 1 || s.Service != web {
		t.Errorf("slice = %+v", s)
	}
	if n := b.Nodes[ir.NodeKey{Cluster: "c", Name: "n"}]; n == nil || n.Locality.Zone != "z" {
		t.Errorf("node = %+v", n)
	}
	if b.Namespaces["default"] == nil {
		t.Errorf("namespaces = %v", b.Namespaces)
	}
	if s := b.Credentials[ir.ConfigKey{Namespace: "default", Name: "broken"}]; s == nil || s.Invalid == "" {
		t.Errorf("credential = %+v", s)
	}
	for k := range b.Credentials {
		if k.Namespace != "default" {
			t.Errorf("read Secret %s, which is not in a gateway's namespace", k)
		}
	}
	if b.Routes[ir.ConfigKey{Namespace: "default", Name: "late"}] == nil {
		t.Errorf("routes = %v", b.Routes)
	}
}

func slice(addr string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "web", Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080))}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{addr}}},
	}
}

// outage: while the API server is away nothing is withdrawn; when it is back, what
// changed meanwhile comes, and nothing else.
func outage(t *testing.T) {
	clients, routing := kubernetes.NewForConfigOrDie(server.Config), dynamic.NewForConfigOrDie(server.Config)
	create(t, routing, fmt.Sprintf(route, "removed", "1s"))
	r := newRelay(t, server.Config.Host)
	config := rest.CopyConfig(server.Config)
	config.Host = "https://" + r.addr
	c := start(t, config)
	synced(t, c)
	c.Drain()
	select {
	case <-c.Wake():
	default:
	}

	r.cut()
	select {
	case <-c.Wake():
		t.Errorf("the outage itself changed something: %+v", c.Drain())
	case <-time.After(3 * time.Second):
	}
	if _, err := clients.DiscoveryV1().EndpointSlices("default").Update(t.Context(), slice("10.1.0.2"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	create(t, routing, fmt.Sprintf(route, "added", "1s"))
	if err := routing.Resource(routes).Namespace("default").Delete(t.Context(), "removed", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.mend(t)

	seen := map[string]bool{}
	await(t, c, "what changed during the outage", func(b intake.Batch) bool {
		for k, s := range b.Slices {
			if s == nil || k.Name != "web" {
				t.Errorf("slice %s: %+v", k, s)
			}
			seen["slice"] = true
		}
		for k, s := range b.Routes {
			if (s == nil) != (k.Name == "removed") {
				t.Errorf("route %s: %+v", k, s)
			}
			seen[k.Name] = true
		}
		if n := len(b.Services) + len(b.Pods) + len(b.Nodes) + len(b.Namespaces) + len(b.Credentials); n != 0 {
			t.Errorf("unchanged objects came again: %+v", b)
		}
		return seen["slice"] && seen["added"] && seen["removed"]
	})
	if len(seen) != 3 {
		t.Errorf("changed: %v", seen)
	}
}

// writesStatus writes conditions with the real client and reads them back through
// intake, which must not take them for a change.
func writesStatus(t *testing.T) {
	client := dynamic.NewForConfigOrDie(server.Config)
	c := start(t, server.Config)
	synced(t, c)
	first := c.Drain()
	origin := ir.Origin{Kind: "VirtualService", Namespace: "default", Name: "added"}
	a := status.New(status.Options{Writer: status.NewWriter(client), Current: status.FromStatus(c.Status)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Start(ctx) }()
	defer func() { cancel(); <-done }()

	a.Projected(first.Statuses)
	a.Problems(map[ir.Origin][]ir.Problem{origin: {{
		Origin: origin, Condition: ir.ResolvedRefs, Reason: "HostNotFound", Field: "spec.http[0]", Message: "there is no host",
	}}})
	read := func() (version, text string) {
		o, err := client.Resource(routes).Namespace("default").Get(t.Context(), "added", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		body, err := yaml.Marshal(o.Object["status"])
		if err != nil {
			t.Fatal(err)
		}
		return o.GetResourceVersion(), string(body)
	}
	eventually(t, "the conditions", func() bool {
		_, text := read()
		return strings.Contains(text, "reason: HostNotFound") && strings.Contains(text, "type: Programmed")
	})
	version, _ := read()
	eventually(t, "the status through intake", func() bool { return len(c.Status(origin)) > 0 })
	if b := c.Drain(); len(b.Routes)+len(b.Statuses) != 0 {
		t.Errorf("our own status came back as a change: %+v", b)
	}

	// Another replica that becomes leader knows the status from intake and writes nothing.
	cancel()
	<-done
	done <- nil
	b := status.New(status.Options{Writer: refusing{t}, Current: status.FromStatus(c.Status)})
	b.Projected(map[ir.Origin]intake.ConfigStatus{origin: first.Statuses[origin]})
	b.Problems(map[ir.Origin][]ir.Problem{origin: {{
		Origin: origin, Condition: ir.ResolvedRefs, Reason: "HostNotFound", Field: "spec.http[0]", Message: "there is no host",
	}}})
	term, end := context.WithTimeout(t.Context(), 2*time.Second)
	defer end()
	if err := b.Start(term); err != nil {
		t.Error(err)
	}
	if now, _ := read(); now != version {
		t.Errorf("resource version %s became %s", version, now)
	}
}

// refusing is a Writer that must not be asked.
type refusing struct{ t *testing.T }

func (r refusing) Write(_ context.Context, o ir.Origin, _ int64, report status.Report) error {
	r.t.Errorf("%s was written again: %+v", o, report)
	return nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s did not come", what)
		}
	}
}
