// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

const browserServices = `
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: api}, ports: [{name: grpc, port: 90, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: browsers, namespace: shop}, spec: {clusterIP: 10.96.0.2, selector: {app: api}, ports: [{name: grpc-web, port: 90, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: plain, namespace: outside}, spec: {clusterIP: 10.96.0.3, selector: {app: plain}, ports: [{name: grpc, port: 90, targetPort: 8080}]}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  selector: {istio: ingress}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}
  - {port: {number: 81, name: grpc-web, protocol: GRPC-WEB}, hosts: [plain.example.com]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [shop.example.com, plain.example.com]
  gateways: [web]
  http:
  - match: [{uri: {prefix: /Busy}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    route: [{destination: {host: browsers}}]
  - match: [{authority: {exact: plain.example.com}}]
    corsPolicy: {allowOrigins: [{exact: "https://app.example.com"}], exposeHeaders: [grpc-status]}
    route: [{destination: {host: plain.outside.svc.cluster.local}}]
  - route: [{destination: {host: browsers}}]
`

// TestGRPCWeb: what a browser can send reaches servers that know gRPC only, and gRPC
// itself passes as it did.
func TestGRPCWeb(t *testing.T) {
	w := New(t)
	w.Apply(browserServices)
	w.Start(Spec{Namespace: "shop", Name: "api-1", Labels: map[string]string{"app": "api"}, Proxy: node.Sidecar}).Serve(8080, http.HandlerFunc(onlyGRPC))
	w.Start(Spec{Namespace: "outside", Name: "plain-1", Labels: map[string]string{"app": "plain"}}).Serve(8080, http.HandlerFunc(onlyGRPC))
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	outside := w.Start(Spec{Namespace: "other", Name: "client-1"})

	const message = "\x00\x00\x00\x00\x02hi"
	trailer := frame(0x80, "grpc-status:0\r\ngrpc-message:done\r\n")
	for _, c := range []struct {
		from     *Pod
		to, host string
	}{
		{page, "10.96.0.2:90", "browsers:90"},
		{page, "10.96.0.1:90", "api:90"}, // the same port of the same pods
		{outside, ingress.At(80), "shop.example.com"},
		{outside, ingress.At(81), "plain.example.com"}, // whose server has no proxy
	} {
		for _, text := range []bool{false, true} {
			kind, body, want := "application/grpc-web+proto", message, message+trailer
			if text {
				kind, body = "application/grpc-web-text+proto", base64.StdEncoding.EncodeToString([]byte(message))
			}
			got := c.from.Expect(Call{
				To: c.to, URL: "http://" + c.host + "/Echo", Method: "POST", Body: body,
				Header: http.Header{"Content-Type": {kind}, "X-Grpc-Web": {"1"}, "Accept": {kind}, "Origin": {"https://app.example.com"}},
			}, "200")
			answer := got.Body
			if text {
				answer = unbase64(answer)
			}
			if answer != want || !strings.HasPrefix(got.Header.Get("Content-Type"), strings.TrimSuffix(kind, "+proto")) {
				t.Errorf("%s of %s answered %q as %q, want %q", kind, c.host, answer, got.Header.Get("Content-Type"), want)
			}
			if allowed := got.Header.Get("Access-Control-Allow-Origin"); (allowed != "") != (c.host == "plain.example.com") {
				t.Errorf("%s let %q read its answer", c.host, allowed)
			}
		}
	}
	busy := outside.Expect(Call{
		To: ingress.At(81), URL: "http://plain.example.com/Busy", Method: "POST", Body: message,
		Header: http.Header{"Content-Type": {"application/grpc-web+proto"}, "X-Grpc-Web": {"1"}},
	}, "503")
	if got := busy.Header.Get("Grpc-Status"); got != "14" {
		t.Errorf("the gateway itself answered with the status %q: %v %q", got, busy.Header, busy.Body)
	}
	for _, to := range []string{"10.96.0.1:90", "10.96.0.2:90"} {
		got := page.Call(Call{To: to, URL: "http://" + to + "/Echo", Method: "POST", Body: message, HTTP2: true, Header: http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}})
		if got.Body != message || got.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("gRPC itself at %s: %v, trailers %v", to, got, got.Trailer)
		}
	}
	if problems := append(w.Problems(), w.Refused()...); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}

// onlyGRPC answers a call of gRPC with its message, and nothing else.
func onlyGRPC(w http.ResponseWriter, r *http.Request) {
	if kind := r.Header.Get("Content-Type"); r.ProtoMajor != 2 || kind != "application/grpc" && kind != "application/grpc+proto" {
		http.Error(w, r.Proto+" of "+kind, http.StatusUnsupportedMediaType)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	_, _ = io.Copy(w, r.Body)
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set("Grpc-Message", "done")
}

func frame(flag byte, text string) string {
	head := make([]byte, 5)
	head[0] = flag
	binary.BigEndian.PutUint32(head[1:], uint32(len(text)))
	return string(head) + text
}

// unbase64 decodes pieces that may each have a padding of their own.
func unbase64(text string) string {
	var out strings.Builder
	for i := 0; i+4 <= len(text); i += 4 {
		some, err := base64.StdEncoding.DecodeString(text[i : i+4])
		if err != nil {
			return "no base64: " + text
		}
		out.Write(some)
	}
	return out.String()
}
