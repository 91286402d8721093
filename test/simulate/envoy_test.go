//go:build integration

// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/route"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/port"
)

// TestSameAsEnvoy asks the real Envoy and the simulation the same random things.
func TestSameAsEnvoy(t *testing.T) {
	listens := port.Free(t)
	rc := configuration()
	l := &listenerv3.Listener{
		Name: "http", Address: typed.Address("127.0.0.1", listens),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter.HTTP{StatPrefix: "http", Routes: rc}.Build()}}},
	}
	start(t, &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{Listeners: []*listenerv3.Listener{l}}})

	// The simulation gets its routes as proxies do, by name.
	byName := proto.Clone(l).(*listenerv3.Listener)
	byName.FilterChains[0].Filters[0] = filter.HTTP{StatPrefix: "http", RouteConfig: rc.Name}.Build()
	p, err := New([]Resource{
		{Type: resource.ListenerType, Name: l.Name, Body: marshal(t, byName)},
		{Type: resource.RouteType, Name: rc.Name, Body: marshal(t, rc)},
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), listens)
	r := rand.New(rand.NewPCG(1, 2))
	answers := map[string]int{}
	for range 3000 {
		c := Call{
			Addr: addr, HTTP: true, Headers: map[string]string{},
			Host:   pick(r, "a.example.com", "A.Example.COM", "b.example.com", "x.b.example.com", "example.com", "a.org", "ab.org", "other", "a.example.com.", "a.q.example.com", "a.q.example.cz"),
			Method: pick(r, "GET", "POST"),
			Path:   pick(r, "/", "/exact", "/exact?q=1", "/exact/", "/EXACT", "/case/x", "/CASE", "/r1", "/r12", "/r1x", "/h", "/w", "/p", "/q"),
		}
		for _, name := range []string{"user", "x"} {
			if v := pick(r, "", "ja", "jason", "aa"); v != "" {
				c.Headers[name] = v
			}
		}
		want, got := ask(t, &c), p.Answer(c)[:3]
		if got != want {
			t.Errorf("%+v: Envoy answers %s, the simulation %s", c, want, got)
		}
		answers[want]++
	}
	for status := 201; status <= 215; status++ {
		if answers[strconv.Itoa(status)] == 0 {
			t.Errorf("no request was answered with %d: %v", status, answers)
		}
	}
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// configuration has a host of each kind of domain, and rules of each kind of match.
func configuration() *routev3.RouteConfiguration {
	status := uint32(200)
	direct := func(matches ...ir.Match) ir.ResolvedRule {
		status++
		return ir.ResolvedRule{Matches: matches, Direct: &ir.Direct{Status: status}}
	}
	path := func(kind ir.StringKind, value string, ignoreCase bool, headers ...ir.HeaderMatch) ir.Match {
		return ir.Match{Path: &ir.StringMatch{Kind: kind, Value: value}, PathIgnoreCase: ignoreCase, Headers: headers}
	}
	header := func(name string, kind ir.StringKind, value string, invert bool) ir.HeaderMatch {
		return ir.HeaderMatch{Name: name, Match: ir.StringMatch{Kind: kind, Value: value}, Invert: invert}
	}
	rc := route.Config(&ir.RouteConfig{Name: "routes"})
	rc.Vhds = nil // the hosts are in it
	add := func(domain string, rules ...ir.ResolvedRule) {
		rc.VirtualHosts = append(rc.VirtualHosts, route.VirtualHost(&ir.VirtualHost{
			Key: ir.VirtualHostKey{RouteConfig: "routes", Host: domain}, Domains: []string{domain}, Rules: rules,
		}))
	}
	add("a.example.com",
		direct(path(ir.MatchExact, "/exact", false)),
		direct(path(ir.MatchPrefix, "/Case", true)),
		direct(path(ir.MatchRegex, "/r[0-9]+", false)),
		direct(path(ir.MatchPrefix, "/h", false, header("user", ir.MatchExact, "jason", false))),
		direct(path(ir.MatchPrefix, "/h", false, header("user", ir.MatchPresent, "", false))),
		direct(path(ir.MatchPrefix, "/w", false, header("user", ir.MatchExact, "jason", true))),
		direct(path(ir.MatchPrefix, "/p", false, header("user", ir.MatchPresent, "", true))),
		direct(path(ir.MatchPrefix, "/q", false, header("user", ir.MatchPrefix, "ja", true), header("x", ir.MatchRegex, "a+", false))),
		direct(ir.Match{Headers: []ir.HeaderMatch{header(":method", ir.MatchExact, "POST", false)}}),
		direct(path(ir.MatchExact, "/exact", true), path(ir.MatchPrefix, "/r", false)),
	)
	add("*.example.com", direct())
	add("*.b.example.com", direct())
	add("a.*", direct())
	add("a.q.example.c*", direct()) // longer than the suffix, which comes first all the same
	add("*", direct())
	return rc
}

func ask(t *testing.T, c *Call) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.Method, "http://"+c.Addr.String()+c.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = c.Host
	for k, v := range c.Headers {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(res.StatusCode)
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// start runs Envoy until the test ends, and waits until it listens.
func start(t *testing.T, b *bootstrapv3.Bootstrap) {
	t.Helper()
	cache, err := envoy.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := envoy.Path(cache)
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "-c", file, "-l", "error", "--concurrency", "1", "--use-dynamic-base-id")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	a := b.StaticResources.Listeners[0].GetAddress().GetSocketAddress()
	address := net.JoinHostPort(a.GetAddress(), strconv.Itoa(int(a.GetPortValue())))
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("envoy ended: %v", err)
		default:
		}
	}
	t.Fatal("envoy does not listen after 20 seconds")
}
