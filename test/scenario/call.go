// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/data/dns/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/resource"
	"github.com/meshwright/meshwright/test/simulate"
)

// outside is the address of every name that the cluster's DNS does not know.
var outside = netip.MustParseAddr("203.0.113.1")

// Call reads CLASS [METHOD] URL [HEADER=VALUE ...] and says what becomes of it.
// The schemes are http, https, h3, tcp and tls; a URL to a gateway names the port of its
// pods. To tls may be added sni=NAME, when it is not the URL's host, and alpn=NAME.
// The header "host" is sent in place of the URL's host, and "claims", an object in JSON
// without spaces, is what the request's token says.
func (w *World) Call(line string) (string, error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return "", fmt.Errorf("call %q is not CLASS [METHOD] URL [HEADER=VALUE ...]", line)
	}
	from, words := words[0], words[1:]
	class, ok := w.classes[from]
	if !ok {
		return "", fmt.Errorf("call %q: no class %s is connected", line, from)
	}
	c := simulate.Call{Headers: map[string]string{}}
	if !strings.Contains(words[0], "://") {
		c.Method, words = words[0], words[1:]
	}
	u, err := url.Parse(words[0])
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("call %q has no URL (%w)", line, err)
	}
	for _, word := range words[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return "", fmt.Errorf("call %q: %q is not HEADER=VALUE", line, word)
		}
		switch name {
		case "host":
			c.As = value
		case "claims":
			if err := json.Unmarshal([]byte(value), &c.Claims); err != nil {
				return "", fmt.Errorf("call %q: claims: %w", line, err)
			}
		default:
			c.Headers[name] = value
		}
	}
	c.HTTP3 = u.Scheme == "h3"
	c.TLS, c.HTTP = u.Scheme == "https" || u.Scheme == "tls" || c.HTTP3, u.Scheme == "https" || u.Scheme == "http" || c.HTTP3
	c.Host, c.Path = u.Hostname(), u.RequestURI()
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return "", fmt.Errorf("call %q: the URL needs a port", line)
	}
	if strings.Contains(c.Host, ":") && c.As == "" {
		c.As = "[" + c.Host + "]"
	}
	c.Addr = netip.AddrPortFrom(w.resolve(from, class, c.Host), uint16(port))
	if name, ok := c.Headers["sni"]; ok && u.Scheme == "tls" {
		c.Host = name
	}
	if c.ALPN = c.Headers["alpn"]; u.Scheme != "tls" {
		c.ALPN = ""
	}
	p, err := w.Proxy(from)
	if err != nil {
		return "", err
	}
	return p.Answer(c), nil
}

// answered is the first address with which the agent of a pod answers for a name.
func (w *World) answered(from, host string) (netip.Addr, bool) {
	names := map[string]string{} // to addresses; a higher layer comes later
	for _, layer := range w.layers[from] {
		for at, r := range w.sent {
			m := &dnsv3.DnsTable_DnsVirtualDomain{}
			if at.layer != string(layer) || at.typ != resource.TypeName || proto.Unmarshal(r.Body, m) != nil {
				continue
			}
			names[at.name] = m.Endpoint.GetAddressList().Address[0]
		}
	}
	for name := host; ; {
		if addr, err := netip.ParseAddr(names[name]); err == nil {
			return addr, true
		}
		_, tail, ok := strings.Cut(strings.TrimPrefix(name, "*."), ".")
		if !ok {
			return netip.Addr{}, false
		}
		name = "*." + tail
	}
}

// resolve does what the agent and the cluster's DNS do for a pod of a namespace. Clients of a
// gateway connect to the gateway, whatever they ask for.
func (w *World) resolve(from string, class *ir.Class, host string) netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr
	}
	if class.Role == ir.RoleRouter {
		return outside
	}
	if addr, ok := w.answered(from, host); ok {
		return addr
	}
	for _, suffix := range []string{"", "." + class.Namespace + ".svc.cluster.local", ".svc.cluster.local", ".cluster.local"} {
		for _, s := range w.rows.Services {
			if s.Host == host+suffix && len(s.VIPs) > 0 {
				return s.VIPs[0]
			}
			if addr, ok := w.pod(s, host+suffix); s.Headless && ok {
				return addr
			}
		}
	}
	return outside
}

// pod is the pod of a headless Service that a name means: its own, or that of the
// Service, which means any.
func (w *World) pod(s *ir.Service, name string) (netip.Addr, bool) {
	for _, slice := range w.rows.Slices {
		if slice.Service != s.Key {
			continue
		}
		for _, e := range slice.Endpoints {
			if name == e.Pod+"."+s.Host || name == s.Host {
				return e.Addr, true
			}
		}
	}
	return netip.Addr{}, false
}
