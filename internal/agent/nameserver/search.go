// SPDX-License-Identifier: Apache-2.0

package nameserver

import "strings"

// resolve finds what the mesh knows of a name that was asked for. canonical is the name under which it is known.
//
// A pod's resolver asks for a name with few dots below each of its search domains before it asks for the name itself:
// for api.example.com it tries api.example.com.shop.svc.cluster.local first. Such a question is answered at once for
// api.example.com, which spares three questions that nobody has an answer to. It is left alone where it may be meant
// literally:
//
//	web-0.db.shop.svc.cluster.local   db.shop.svc.cluster.local is a Service: this is one of its pods, not the host web-0.db
//	redis.shop.svc.cluster.local      a Service of the namespace that the mesh does not show us, rather than the host redis
func (s *Server) resolve(name string) (canonical string, record Record, ok bool) {
	if record, ok := s.table.Lookup(name); ok {
		return name, record, true
	}
	for _, domain := range s.search {
		below, ok := strings.CutSuffix(name, domain)
		if !ok || !strings.HasSuffix(below, ".") {
			continue
		}
		base := below[:len(below)-1]
		_, parent, _ := strings.Cut(name, ".")
		if !strings.Contains(base, ".") || s.table.has(name) || s.table.has(parent) {
			continue
		}
		if record, ok := s.table.Lookup(base); ok {
			return base, record, true
		}
	}
	return "", Record{}, false
}
