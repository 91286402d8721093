// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshwright/meshwright/internal/agent/nameserver"
	"github.com/meshwright/meshwright/test/port"
)

// TestNaming opens the sockets that redirected packets arrive at, with what the pod's resolv.conf says.
func TestNaming(t *testing.T) {
	c := valid()
	c.DNSPort = port.Free(t)
	c.ResolvConf = filepath.Join(t.TempDir(), "resolv.conf")
	if _, err := newNaming(c, prometheus.NewRegistry(), testr.New(t)); err == nil || !strings.Contains(err.Error(), c.ResolvConf) {
		t.Errorf("without a resolv.conf: got %v, want an error with its path", err)
	}
	if err := os.WriteFile(c.ResolvConf, []byte("search shop.svc.cluster.local\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := newNaming(c, prometheus.NewRegistry(), testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.server.Serve(ctx) }()
	defer func() { cancel(); <-done }()
	n.table.Update(map[string]nameserver.Record{"api.example.com": {IPv4: []netip.Addr{netip.MustParseAddr("240.240.0.1")}, TTL: 30}}, nil)
	query := new(dns.Msg).SetQuestion("api.example.com.shop.svc.cluster.local.", dns.TypeA)
	answer, err := dns.Exchange(query, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.DNSPort))))
	if err != nil || len(answer.Answer) != 2 {
		t.Errorf("got %v, %v", answer, err)
	}
	query.SetQuestion("nobody.knows.", dns.TypeA)
	if answer, err := dns.Exchange(query, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.DNSPort)))); err != nil || answer.Rcode != dns.RcodeServerFailure {
		t.Errorf("without name servers: %v, %v", answer, err)
	}
}
