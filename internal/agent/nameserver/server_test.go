// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range list {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// cluster is the pod's name server: what it is asked, and an answer for a few names.
type cluster struct {
	mu    sync.Mutex
	asked []string
}

func (c *cluster) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	name, m := query.Question[0].Name, new(dns.Msg)
	m.SetReply(query)
	c.mu.Lock()
	c.asked = append(c.asked, w.LocalAddr().Network()+" "+name+" "+dns.TypeToString[query.Question[0].Qtype])
	c.mu.Unlock()
	switch name {
	case "one.upstream.":
		m.Answer = []dns.RR{&dns.A{Hdr: header(name, dns.TypeA, 5), A: net.IPv4(192, 0, 2, 1)}}
	case "edns.upstream.":
		opt := query.IsEdns0()
		if opt == nil || opt.UDPSize() != 1400 || !opt.Do() {
			m.Rcode = dns.RcodeBadVers
		}
	case "large.upstream.":
		for i := range 100 {
			m.Answer = append(m.Answer, &dns.A{Hdr: header(name, dns.TypeA, 5), A: net.IPv4(192, 0, 2, byte(i))})
		}
		// A server that does not care for what the client takes.
	case "busy.upstream.":
		m.Rcode = dns.RcodeServerFailure
	default:
		m.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(m)
}

func (c *cluster) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.asked
	c.asked = nil
	return out
}

// startServer serves DNS at a free port by UDP and TCP.
func startServer(t testing.TB, handler dns.Handler) netip.AddrPort {
	t.Helper()
	packets, listener := listenBoth(t)
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return netip.MustParseAddrPort(packets.LocalAddr().String())
}

// listenBoth finds a port that is free by UDP and by TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		_ = packets.Close()
	}
	t.Fatal("found no port that is free by UDP and by TCP")
	return nil, nil
}

type rig struct {
	t        *testing.T
	table    *Table
	registry *prometheus.Registry
	address  string
}

// start runs a name server of a pod in namespace shop in front of those servers.
func start(t *testing.T, upstream ...netip.AddrPort) *rig {
	t.Helper()
	table := NewTable()
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	options := Options{
		Addresses: []netip.AddrPort{loopback}, Table: table, Metrics: metrics, Upstream: NewUpstream(upstream, metrics),
		Search: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"}, Log: testr.New(t),
	}
	s, err := Listen(options)
	for tries := 0; errors.Is(err, syscall.EADDRINUSE) && tries < 20; tries++ {
		s, err = Listen(options) // the port that is free by UDP was not by TCP
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return &rig{t: t, table: table, registry: registry, address: s.packets[0].LocalAddr().String()}
}

// counted is a counter's value; labels are values in the order of their names.
func (r *rig) counted(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(values, labels) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func (r *rig) ask(network, name string, qtype uint16) *dns.Msg {
	r.t.Helper()
	return r.exchange(network, new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype))
}

func (r *rig) exchange(network string, query *dns.Msg) *dns.Msg {
	r.t.Helper()
	client := &dns.Client{Net: network, Timeout: 10 * time.Second}
	answer, _, err := client.Exchange(query, r.address)
	if err != nil {
		r.t.Fatalf("%s %v: %v", network, query.Question, err)
	}
	return answer
}

// show is the code and the answer's records, shortly.
func show(m *dns.Msg) string {
	out := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		fields := strings.Fields(rr.String())
		out += " " + fields[0] + "/" + fields[1] + "/" + strings.Join(fields[3:], "/")
	}
	return out
}

func town(table *Table) {
	table.Update(map[string]Record{
		"reviews.shop.svc.cluster.local": {IPv4: addrs("10.96.0.1"), TTL: 30},
		"db.shop.svc.cluster.local":      {IPv4: addrs("10.96.0.2"), IPv6: addrs("fd00::2"), TTL: 30},
		"web-0.db":                       {IPv4: addrs("10.96.0.9"), TTL: 30},
		"redis":                          {IPv4: addrs("240.240.0.3"), TTL: 30},
		"api.example.com":                {IPv4: addrs("240.240.0.1"), TTL: 60},
		"empty.example.com":              {TTL: 30},
		"six.example.com":                {IPv6: addrs("2001:2::1"), TTL: 60},
		"*.example.com":                  {IPv4: addrs("240.240.0.2"), TTL: 60},
		"*.deep.example.com":             {IPv4: addrs("240.240.0.4"), TTL: 60},
	}, nil)
}

func TestAnswers(t *testing.T) {
	c := &cluster{}
	r := start(t, startServer(t, c))
	town(r.table)
	tests := []struct {
		what, name string
		qtype      uint16
		want       string
		forwarded  string
	}{
		{what: "a Service", name: "reviews.shop.svc.cluster.local", qtype: dns.TypeA, want: "NOERROR reviews.shop.svc.cluster.local./30/A/10.96.0.1"},
		{what: "case is kept", name: "Reviews.Shop.svc.cluster.LOCAL", qtype: dns.TypeA, want: "NOERROR Reviews.Shop.svc.cluster.LOCAL./30/A/10.96.0.1"},
		{what: "the family that it has not", name: "reviews.shop.svc.cluster.local", qtype: dns.TypeAAAA, want: "NOERROR"},
		{what: "both families", name: "db.shop.svc.cluster.local", qtype: dns.TypeAAAA, want: "NOERROR db.shop.svc.cluster.local./30/AAAA/fd00::2"},
		{what: "IPv6 only", name: "six.example.com", qtype: dns.TypeA, want: "NOERROR"},
		{what: "below a search domain", name: "api.example.com.shop.svc.cluster.local", qtype: dns.TypeA, want: "NOERROR api.example.com.shop.svc.cluster.local./60/CNAME/api.example.com. api.example.com./60/A/240.240.0.1"},
		{what: "below a later search domain", name: "api.example.com.cluster.local", qtype: dns.TypeA, want: "NOERROR api.example.com.cluster.local./60/CNAME/api.example.com. api.example.com./60/A/240.240.0.1"},
		{what: "a wildcard", name: "x.y.example.com", qtype: dns.TypeA, want: "NOERROR x.y.example.com./60/A/240.240.0.2"},
		{what: "the longest wildcard", name: "x.deep.example.com", qtype: dns.TypeA, want: "NOERROR x.deep.example.com./60/A/240.240.0.4"},
		{what: "a wildcard below a search domain", name: "x.example.com.shop.svc.cluster.local", qtype: dns.TypeA, want: "NOERROR x.example.com.shop.svc.cluster.local./60/CNAME/x.example.com. x.example.com./60/A/240.240.0.2"},
		{what: "addresses in other records", name: "api.example.com", qtype: dns.TypeHTTPS, want: "NOERROR"},
		{what: "a pod of a Service", name: "web-0.db.shop.svc.cluster.local", qtype: dns.TypeA, want: "NXDOMAIN", forwarded: "udp web-0.db.shop.svc.cluster.local. A"},
		{what: "a short host below a search domain", name: "redis.shop.svc.cluster.local", qtype: dns.TypeA, want: "NXDOMAIN", forwarded: "udp redis.shop.svc.cluster.local. A"},
		{what: "a short host", name: "redis", qtype: dns.TypeA, want: "NOERROR redis./30/A/240.240.0.3"},
		{what: "a name without addresses", name: "empty.example.com", qtype: dns.TypeA, want: "NXDOMAIN", forwarded: "udp empty.example.com. A"},
		{what: "the wildcard's own parent", name: "example.com", qtype: dns.TypeA, want: "NXDOMAIN", forwarded: "udp example.com. A"},
		{what: "other data of a name", name: "reviews.shop.svc.cluster.local", qtype: dns.TypeSRV, want: "NXDOMAIN", forwarded: "udp reviews.shop.svc.cluster.local. SRV"},
		{what: "a name that the mesh does not know", name: "one.upstream", qtype: dns.TypeA, want: "NOERROR one.upstream./5/A/192.0.2.1", forwarded: "udp one.upstream. A"},
		{what: "the root", name: ".", qtype: dns.TypeNS, want: "NXDOMAIN", forwarded: "udp . NS"},
		{what: "a transfer", name: "one.upstream", qtype: dns.TypeAXFR, want: "REFUSED"},
	}
	for _, tt := range tests {
		if got := show(r.ask(udp, tt.name, tt.qtype)); got != tt.want {
			t.Errorf("%s: %s: got %q, want %q", tt.what, tt.name, got, tt.want)
		}
		if got := strings.Join(c.take(), ","); got != tt.forwarded {
			t.Errorf("%s: %s: the name server was asked %q, want %q", tt.what, tt.name, got, tt.forwarded)
		}
	}
	if got := r.counted("meshwright_agent_dns_queries_total", udp, string(outcomeForwarded)); got != 7 {
		t.Errorf("%v queries counted as forwarded, want 7", got)
	}
}

func TestBeforeTheFirstTableAllIsForwarded(t *testing.T) {
	r := start(t, startServer(t, &cluster{}))
	if got := show(r.ask(udp, "one.upstream", dns.TypeA)); got != "NOERROR one.upstream./5/A/192.0.2.1" {
		t.Error(got)
	}
	if got := show(r.ask(tcp, "reviews.shop.svc.cluster.local", dns.TypeA)); got != "NXDOMAIN" {
		t.Error(got)
	}
}

func TestAnswersFitTheClient(t *testing.T) {
	c := &cluster{}
	r := start(t, startServer(t, c))
	var many []netip.Addr
	for i := range 200 {
		many = append(many, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	r.table.Update(map[string]Record{"many.example.com": {IPv4: many, TTL: 30}}, nil)
	for _, name := range []string{"many.example.com", "large.upstream"} {
		raw := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
		packed, err := raw.Pack()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial(udp, r.address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(packed); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, dns.MaxMsgSize)
		n, err := conn.Read(buffer)
		_ = conn.Close()
		answer := new(dns.Msg)
		if err != nil || n > dns.MinMsgSize || answer.Unpack(buffer[:n]) != nil || !answer.Truncated || answer.Id != raw.Id {
			t.Errorf("%s by UDP: %d bytes, %v: %v", name, n, err, answer)
		}
		want := map[string]int{"many.example.com": 200, "large.upstream": 100}[name]
		if answer := r.ask(tcp, name, dns.TypeA); len(answer.Answer) != want || answer.Truncated {
			t.Errorf("%s by TCP: %d of %d addresses, truncated %t", name, len(answer.Answer), want, answer.Truncated)
		}
	}
	large := new(dns.Msg).SetQuestion("many.example.com.", dns.TypeA)
	large.SetEdns0(4096, true)
	if answer := r.exchange(udp, large); len(answer.Answer) != 200 || answer.IsEdns0() == nil || !answer.IsEdns0().Do() {
		t.Errorf("with EDNS: %d addresses, OPT %v", len(answer.Answer), answer.IsEdns0())
	}
	if got := strings.Join(c.take(), ","); got != "udp large.upstream. A,tcp large.upstream. A" {
		t.Errorf("the name server was asked %s", got)
	}
}

func TestExtensionsPassThrough(t *testing.T) {
	r := start(t, startServer(t, &cluster{}))
	query := new(dns.Msg).SetQuestion("edns.upstream.", dns.TypeA)
	query.SetEdns0(1400, true)
	if got := r.exchange(udp, query); got.Rcode != dns.RcodeSuccess {
		t.Errorf("the server did not see the extensions as they were: %s", show(got))
	}
}

func TestServersThatDoNotAnswer(t *testing.T) {
	c := &cluster{}
	working := startServer(t, c)
	closed := startServer(t, c)
	// Nobody listens there any more, and the kernel says so.
	dead := netip.AddrPortFrom(closed.Addr(), 1)
	r := start(t, dead, working)
	for range 2 {
		if got := show(r.ask(udp, "one.upstream", dns.TypeA)); got != "NOERROR one.upstream./5/A/192.0.2.1" {
			t.Error(got)
		}
	}
	if got := r.counted("meshwright_agent_dns_upstream_failures_total", "network"); got != 1 {
		t.Errorf("%v failures, want 1: the second query should not have tried the dead server first", got)
	}
	alone := start(t, dead)
	for _, network := range []string{udp, tcp} {
		if got := show(alone.ask(network, "one.upstream", dns.TypeA)); got != "SERVFAIL" {
			t.Errorf("without a server by %s: %s", network, got)
		}
	}
	if got := show(start(t).ask(udp, "one.upstream", dns.TypeA)); got != "SERVFAIL" {
		t.Errorf("with an empty resolv.conf: %s", got)
	}
}

func TestServerThatFailsIsNotTheLastWord(t *testing.T) {
	busy := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))
	})
	r := start(t, startServer(t, busy), startServer(t, &cluster{}))
	if got := show(r.ask(udp, "one.upstream", dns.TypeA)); got != "NOERROR one.upstream./5/A/192.0.2.1" {
		t.Error(got)
	}
	if got := show(r.ask(udp, "busy.upstream", dns.TypeA)); got != "SERVFAIL" {
		t.Errorf("both failed: %s", got)
	}
}

func TestForgedAnswersAreNotBelieved(t *testing.T) {
	forger := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		forged := func(edit func(*dns.Msg)) {
			m := new(dns.Msg).SetReply(q)
			m.Answer = []dns.RR{&dns.A{Hdr: header("one.upstream.", dns.TypeA, 5), A: net.IPv4(203, 0, 113, 66)}}
			edit(m)
			packed, _ := m.Pack()
			_, _ = w.Write(packed)
		}
		forged(func(m *dns.Msg) { m.Id++ })
		forged(func(m *dns.Msg) { m.Response = false })
		forged(func(m *dns.Msg) { m.Question[0].Name = "two.upstream." })
		forged(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA })
		forged(func(m *dns.Msg) { m.Question = nil })
		_, _ = w.Write([]byte("short"))
		(&cluster{}).ServeDNS(w, q)
	})
	r := start(t, startServer(t, forger))
	if got := show(r.ask(udp, "one.upstream", dns.TypeA)); got != "NOERROR one.upstream./5/A/192.0.2.1" {
		t.Error(got)
	}
}

func TestMalformedQueries(t *testing.T) {
	s := &Server{table: NewTable(), log: logr.Discard()}
	question, _ := new(dns.Msg).SetQuestion("a.example.", dns.TypeA).Pack()
	for what, tt := range map[string]struct {
		message []byte
		want    outcome
		code    string
	}{
		"nothing":          {nil, outcomeDropped, ""},
		"half a header":    {question[:6], outcomeDropped, ""},
		"an answer":        {append([]byte{0, 1, 0x80}, question[3:]...), outcomeDropped, ""},
		"half a question":  {question[:15], outcomeRefused, "FORMERR"},
		"no question":      {append([]byte{0, 7, 1, 0}, make([]byte, 8)...), outcomeRefused, "FORMERR"},
		"an answer, short": {append([]byte{0, 1, 0x80}, question[3:15]...), outcomeDropped, ""},
	} {
		_, answer, got := s.review(tt.message, udp)
		code := ""
		if answer != nil {
			m := new(dns.Msg)
			if err := m.Unpack(answer); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			code = dns.RcodeToString[m.Rcode]
			if m.Id != uint16(tt.message[0])<<8|uint16(tt.message[1]) {
				t.Errorf("%s: the answer has another id", what)
			}
		}
		if got != tt.want || code != tt.code {
			t.Errorf("%s: %s %q, want %s %q", what, got, code, tt.want, tt.code)
		}
	}
}

func TestTooManyAtOnce(t *testing.T) {
	release := make(chan struct{})
	slow := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { <-release; (&cluster{}).ServeDNS(w, q) })
	metrics := NewMetrics(prometheus.NewRegistry())
	s, err := Listen(Options{Table: NewTable(), Metrics: metrics, Upstream: NewUpstream([]netip.AddrPort{startServer(t, slow)}, metrics), Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	query, _ := new(dns.Msg).SetQuestion("one.upstream.", dns.TypeA).Pack()
	answers := make(chan []byte, maxForwarded+1)
	for range maxForwarded + 1 {
		s.handle(t.Context(), udp, query, func(answer []byte) { answers <- answer })
	}
	m := new(dns.Msg)
	if err := m.Unpack(<-answers); err != nil || m.Rcode != dns.RcodeServerFailure {
		t.Errorf("the query too many got %v, %v", m, err)
	}
	close(release)
	for i := range maxForwarded {
		if m := new(dns.Msg); m.Unpack(<-answers) != nil {
			t.Fatalf("answer %d cannot be read", i)
		}
	}
}

func TestLookupOfGoneNames(t *testing.T) {
	table := NewTable()
	town(table)
	if n := table.Update(nil, []string{"api.example.com", "*.deep.example.com", "never.was"}); n != 7 {
		t.Errorf("%d names are left, want 7", n)
	}
	for name, want := range map[string]string{"api.example.com": "240.240.0.2", "x.deep.example.com": "240.240.0.2"} {
		if r, ok := table.Lookup(name); !ok || fmt.Sprint(r.IPv4[0]) != want {
			t.Errorf("%s: %v %t, want %s of the wildcard", name, r, ok, want)
		}
	}
}
