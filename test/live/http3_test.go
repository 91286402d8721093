// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// http3Client keeps QUIC connections open between calls, all of them made to one address.
func (p *Pod) http3Client(to string, config *tls.Config) *http.Client {
	transport := &http3.Transport{TLSClientConfig: config, Dial: func(ctx context.Context, _ string, config *tls.Config, how *quic.Config) (*quic.Conn, error) {
		address, err := net.ResolveUDPAddr("udp", to)
		if err != nil {
			return nil, err
		}
		var socket net.PacketConn
		if err := p.net.do(func() (err error) {
			socket, err = net.ListenPacket("udp4", ":0")
			return err
		}); err != nil {
			return nil, err
		}
		p.world.t.Cleanup(func() { _ = socket.Close() })
		return quic.Dial(ctx, socket, address, config, how)
	}}
	p.world.t.Cleanup(func() { _ = transport.Close() })
	return &http.Client{Timeout: Patience, Transport: transport}
}

// TestHTTP3: a browser's way from TCP to QUIC, and that it leads to no server that
// asks for certificates of clients.
func TestHTTP3(t *testing.T) {
	e := newEdge(t)
	servers, clients := NewAuthority(t, "servers"), NewAuthority(t, "clients")
	first, second := servers.Issue(Leaf{DNS: []string{"*.example.com"}}), servers.Issue(Leaf{DNS: []string{"*.example.com"}})
	secret := first.Secret()
	secret["ca.crt"] = clients.PEM()
	e.Secret(RootNamespace, "cert", secret)
	service := func(ports string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: ingress, namespace: %s}, spec: {clusterIP: 10.96.0.9, selector: {istio: ingress}, ports: [%s]}}", RootNamespace, ports)
	}
	const tcp, udp = "{name: https, port: 443, targetPort: 8443}", "{name: http3, port: 443, targetPort: 9443, protocol: UDP}"
	e.Apply(service(tcp) + "\n---\n" + gateway("web", https("open", "mode: SIMPLE, credentialName: cert"), https("mutual", "mode: MUTUAL, credentialName: cert")))
	e.start()
	over := func(name string) Call {
		c := e.call(name, nil, clients.Issue(Leaf{DNS: []string{"a.example.com"}}))
		c.To = e.ingress.At(8443)
		return c
	}
	if got := e.client.Expect(over("open"), "200 cart-1"); got.Header.Get("Alt-Svc") != "" {
		t.Errorf("without a port of UDP the client is told %q", got.Header.Get("Alt-Svc"))
	}

	e.Apply(service(tcp + ", " + udp))
	e.Eventually("the client is told of HTTP/3", func() error {
		if got := e.client.Call(over("open")).Header.Get("Alt-Svc"); got != `h3=":443"; ma=86400` {
			return fmt.Errorf("it is told %q", got)
		}
		return nil
	})
	if got := e.client.Expect(over("mutual"), "200 cart-1"); got.Header.Get("Alt-Svc") != "" {
		t.Errorf("a client of a server that asks for certificates is told %q", got.Header.Get("Alt-Svc"))
	}
	quicCall := func(name string) Call {
		return Call{
			To: "UDP", URL: "https://" + name + ".example.com/",
			Client: e.client.http3Client(e.ingress.At(9443), &tls.Config{RootCAs: servers.Pool(), ServerName: name + ".example.com"}),
		}
	}
	open := quicCall("open")
	if got := e.client.Expect(open, "200 cart-1"); got.Proto != "HTTP/3.0" {
		t.Errorf("it was answered by %s", got.Proto)
	}
	if got := e.client.Call(quicCall("mutual")); got.Err == nil {
		t.Errorf("HTTP/3 is a way around client certificates: %s", got)
	}
	around := open
	around.URL = "https://mutual.example.com/"
	if got := e.client.Call(around); !strings.HasPrefix(got.String(), "421") {
		t.Errorf("a connection for one server is a way into another: %s", got)
	}

	calls := e.client.Hammer(open, "200 cart-1")
	e.Secret(RootNamespace, "cert", second.Secret())
	e.Eventually("the renewed certificate is served", func() error {
		got := e.client.Call(quicCall("open"))
		if got.Err != nil {
			return got.Err
		}
		if !got.TLS.PeerCertificates[0].Equal(second.Leaf) {
			return fmt.Errorf("another certificate is shown")
		}
		return nil
	})
	if n, wrong := calls(); n == 0 || len(wrong) > 0 {
		t.Errorf("%d calls while the certificate was renewed, %q", n, wrong)
	}
	if got := e.Refused(); len(got) > 0 {
		t.Errorf("refused: %q", got)
	}
}
