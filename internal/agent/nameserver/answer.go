// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// ownUDPSize is what we tell clients that we take by UDP: https://www.dnsflagday.net/2020/.
const ownUDPSize = 1232

// answer is the answer to a question that concerns the mesh, nil for one that does not.
func (s *Server) answer(query *dns.Msg) *dns.Msg {
	if query.Opcode != dns.OpcodeQuery || len(query.Question) != 1 || isNewerEDNS(query) {
		return nil
	}
	question := query.Question[0]
	if question.Qclass != dns.ClassINET || !isAddressType(question.Qtype) {
		return nil
	}
	canonical, record, ok := s.resolve(strings.ToLower(strings.TrimSuffix(question.Name, ".")))
	if !ok {
		return nil
	}
	m := new(dns.Msg)
	m.SetReply(query)
	m.Authoritative, m.RecursionAvailable, m.Compress = true, true, true
	owner := question.Name
	if target := dns.Fqdn(canonical); !strings.EqualFold(owner, target) {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: header(owner, dns.TypeCNAME, record.TTL), Target: target})
		owner = target
	}
	if question.Qtype == dns.TypeA || question.Qtype == dns.TypeANY {
		eachRotated(record.IPv4, func(ip net.IP) {
			m.Answer = append(m.Answer, &dns.A{Hdr: header(owner, dns.TypeA, record.TTL), A: ip})
		})
	}
	if question.Qtype == dns.TypeAAAA || question.Qtype == dns.TypeANY {
		eachRotated(record.IPv6, func(ip net.IP) {
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, record.TTL), AAAA: ip})
		})
	}
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(ownUDPSize, opt.Do())
	}
	return m
}

// isAddressType tells the questions that the mesh answers, with nothing where it has nothing. SVCB and HTTPS are among
// them because their answers carry addresses: those of the name in the world outside would lead around the mesh. Questions
// for other data (SRV, MX, TXT) are the cluster's.
func isAddressType(qtype uint16) bool {
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeANY, dns.TypeSVCB, dns.TypeHTTPS:
		return true
	}
	return false
}

// isNewerEDNS tells queries whose extensions we cannot know; the upstream servers answer for those.
func isNewerEDNS(query *dns.Msg) bool {
	opt := query.IsEdns0()
	return opt != nil && opt.Version() != 0
}

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// eachRotated begins at a random address, so that clients that take the first one spread.
func eachRotated(addrs []netip.Addr, f func(net.IP)) {
	if len(addrs) == 0 {
		return
	}
	start := rand.IntN(len(addrs))
	for i := range addrs {
		f(addrs[(start+i)%len(addrs)].AsSlice())
	}
}

// refusal is an answer without content.
func refusal(query *dns.Msg, code int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(query, code)
	m.RecursionAvailable = true
	return m
}

// limit is how many bytes the client takes.
func limit(query *dns.Msg, network string) int {
	if network == tcp {
		return dns.MaxMsgSize
	}
	if opt := query.IsEdns0(); opt != nil {
		return max(int(opt.UDPSize()), dns.MinMsgSize)
	}
	return dns.MinMsgSize
}
