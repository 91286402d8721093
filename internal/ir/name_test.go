// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"strings"
	"testing"
)

func FuzzClusterName(f *testing.F) {
	f.Add("reviews.books.svc.cluster.local", uint16(9080), "v1")
	f.Add("h", uint16(0), "")
	f.Fuzz(func(t *testing.T, host string, port uint16, subset string) {
		if host == "" || strings.Contains(host+subset, "|") {
			return // no host name and no subset is like that
		}
		want := ClusterKey{Host: host, Port: port, Subset: subset}
		if got, ok := ParseClusterName(want.Name()); !ok || got != want {
			t.Errorf("%q is read as %+v (%t), want %+v", want.Name(), got, ok, want)
		}
	})
}

func FuzzParseClusterName(f *testing.F) {
	for _, s := range []string{"outbound|80||a.b", "outbound|080||a", "inbound|80||", "outbound|80|x|", "outbound|65536||a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if k, ok := ParseClusterName(s); ok && k.Name() != s {
			t.Errorf("%q is read as %+v, which is %q", s, k, k.Name())
		}
	})
}

func FuzzVirtualHostName(f *testing.F) {
	f.Add("9080", "reviews.books.svc.cluster.local")
	f.Add("https.8443.web.gateway.books", "*.example.com")
	f.Fuzz(func(t *testing.T, config, host string) {
		want := VirtualHostKey{RouteConfig: config, Host: host}
		got, ok := ParseVirtualHostName(want.Name())
		switch {
		case config == "" || host == "" || strings.Contains(config, "/"):
			return // names of route configurations never hold a slash
		case !ok || got != want:
			t.Errorf("%q is read as %+v (%t), want %+v", want.Name(), got, ok, want)
		}
	})
}

func FuzzParseVirtualHostName(f *testing.F) {
	for _, s := range []string{"9080/a", "/a", "a/", "a/b/c", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if k, ok := ParseVirtualHostName(s); ok && k.Name() != s {
			t.Errorf("%q is read as %+v, which is %q", s, k, k.Name())
		}
	})
}

func FuzzOrigin(f *testing.F) {
	f.Add("VirtualService", "books", "reviews", "http[0]")
	f.Add("Node", "", "n1", "")
	f.Fuzz(func(t *testing.T, kind, namespace, name, section string) {
		if kind == "" || name == "" || strings.ContainsAny(kind+namespace, "/#") || strings.Contains(name, "#") {
			return // Kubernetes has no such names
		}
		want := Origin{Kind: kind, Namespace: namespace, Name: name, Section: section}
		if got, ok := ParseOrigin(want.String()); !ok || got != want {
			t.Errorf("%q is read as %+v (%t), want %+v", want.String(), got, ok, want)
		}
	})
}

func FuzzParseOrigin(f *testing.F) {
	for _, s := range []string{"A/b/c#d", "A//c", "A/b/c#", "A/b/c#d#e", "A/b", "#", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if o, ok := ParseOrigin(s); ok && o.String() != s {
			t.Errorf("%q is read as %+v, which is %q", s, o, o.String())
		}
	})
}

func FuzzSPIFFE(f *testing.F) {
	f.Add("cluster.local", "books", "reviews")
	f.Fuzz(func(t *testing.T, domain, namespace, account string) {
		if domain == "" || namespace == "" || account == "" || strings.Contains(domain+namespace+account, "/") {
			return
		}
		d, n, a, ok := ParseSPIFFE(SPIFFE(domain, namespace, account))
		if !ok || d != domain || n != namespace || a != account {
			t.Errorf("%s is read as %q, %q, %q (%t)", SPIFFE(domain, namespace, account), d, n, a, ok)
		}
	})
}

func FuzzParseSPIFFE(f *testing.F) {
	for _, s := range []string{
		"spiffe://cluster.local/ns/books/sa/reviews", "spiffe:///ns/a/sa/b", "spiffe://d/ns/a/sa/b/c", "spiffe://d/sa/a/ns/b", "https://d/ns/a/sa/b", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, n, a, ok := ParseSPIFFE(s); ok && SPIFFE(d, n, a) != s {
			t.Errorf("%q is read as %q, %q, %q, which is %q", s, d, n, a, SPIFFE(d, n, a))
		}
	})
}
