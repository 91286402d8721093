// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"testing"

	"github.com/go-logr/logr"
	"github.com/miekg/dns"
)

func seeds(f *testing.F) {
	f.Helper()
	for _, name := range []string{"reviews.shop.svc.cluster.local.", "api.example.com.shop.svc.cluster.local.", "x.example.com.", "."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeANY, dns.TypeSRV} {
			m := new(dns.Msg).SetQuestion(name, qtype)
			if qtype == dns.TypeAAAA {
				m.SetEdns0(4096, true)
			}
			packed, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packed)
		}
	}
}

// FuzzReview feeds queries: what is answered can be read, is for the same id, and fits.
func FuzzReview(f *testing.F) {
	seeds(f)
	table := NewTable()
	town(table)
	s := &Server{table: table, search: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"}, log: logr.Discard()}
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, network := range []string{udp, tcp} {
			query, answer, result := s.review(message, network)
			if result == outcomeForwarded {
				if query == nil || answer != nil || len(message) < headerBytes {
					t.Fatalf("forwarded with %v and %v", query, answer)
				}
				if end := questionEnd(message); end > len(message) || end < headerBytes {
					t.Fatalf("the question ends at %d of %d", end, len(message))
				}
			}
			if answer == nil {
				continue
			}
			m := new(dns.Msg)
			if err := m.Unpack(answer); err != nil {
				t.Fatalf("the answer cannot be read: %v", err)
			}
			if answer[0] != message[0] || answer[1] != message[1] || !m.Response {
				t.Fatal("the answer is not one to the query")
			}
			if query != nil && len(answer) > limit(query, network) {
				t.Fatalf("%d bytes for a client that takes %d", len(answer), limit(query, network))
			}
		}
	})
}

// FuzzAnswer feeds what name servers may send.
func FuzzAnswer(f *testing.F) {
	seeds(f)
	query, err := new(dns.Msg).SetQuestion("one.upstream.", dns.TypeA).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if !isAnswerTo(query, answer) {
			return
		}
		shouldGoOn(answer)
		if short := truncated(query, answer); new(dns.Msg).Unpack(short) != nil || len(short) > len(query) {
			t.Fatalf("truncated to %x", short)
		}
	})
}
