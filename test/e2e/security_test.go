// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	echoFar       = "http://echo." + appSpace + ".svc.cluster.local:8080"
	clientSPIFFE  = "spiffe://cluster.local/ns/" + appSpace + "/sa/client"
	clientCert    = "X-Forwarded-Client-Cert"
	tcpFar        = "tcp://echo." + appSpace + ".svc.cluster.local:9090"
	injectedInit  = "istio-init"
	injectedProxy = "istio-proxy"
)

// The order matters: istio-init, then the proxy as a native sidecar, then what
// the user wrote, so that the user's init containers have the mesh.
func testEveryPodGetsAProxy(t *testing.T) {
	application(t)
	pods, err := cluster.Kube.CoreV1().Pods(appSpace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if len(pods.Items) < 6 {
		t.Errorf("%d pods, want at least 6", len(pods.Items))
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if n := len(p.Spec.InitContainers); n < 2 || p.Spec.InitContainers[0].Name != injectedInit || p.Spec.InitContainers[1].Name != injectedProxy {
			t.Errorf("%s: %d init containers, want %s and %s first", p.Name, n, injectedInit, injectedProxy)
			continue
		}
		proxy, _ := env.Sidecar(p)
		if proxy.RestartPolicy == nil || *proxy.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Errorf("%s: the proxy is no native sidecar", p.Name)
		}
		if p.Labels["security.istio.io/tlsMode"] != "istio" || p.Annotations["sidecar.istio.io/status"] == "" {
			t.Errorf("%s: labels %v lack the mark of injection", p.Name, p.Labels)
		}
	}
	plain, err := cluster.PodOf(t.Context(), plainSpace, "app=plain")
	must(t, err)
	if _, ok := env.Sidecar(plain); ok {
		t.Error("a pod of a namespace that did not ask got a proxy")
	}
}

// Without a policy both kinds of clients are served; with STRICT only those
// with a certificate of the mesh, for HTTP and for TCP.
func testStrict(t *testing.T) {
	application(t)
	until(t, "a plaintext call without a policy", answered, callPlain, echoFar)
	applied(t, "strict.yaml")
	refused := func(r env.Report) error {
		if len(r.Errors) == 0 {
			return fmt.Errorf("it was answered: %s", r)
		}
		return nil
	}
	until(t, "a refused plaintext call", refused, callPlain, echoFar, "--keep-alive=false")
	r, err := callPlain(t.Context(), echoFar, "--count=20", "--keep-alive=false")
	must(t, err)
	if len(r.Codes) != 0 {
		t.Errorf("plaintext under STRICT: %s, want no answer at all", r)
	}
	r, err = callPlain(t.Context(), tcpFar, "--count=5")
	must(t, err)
	if len(r.Codes) != 0 {
		t.Errorf("plaintext TCP under STRICT: %s, want no answer at all", r)
	}
	for _, url := range []string{echoURL, "tcp://echo:9090"} {
		r, err := call(t.Context(), url, "--count=50", "--keep-alive=false")
		must(t, err)
		if err := answered(r); err != nil {
			t.Errorf("%s from inside the mesh under STRICT: %v", url, err)
		}
	}
}

// identity reads the caller's URI from what the server's proxy tells about the
// certificate that it verified.
func identity(e env.Echo) (string, error) {
	values := e.Headers[clientCert]
	if len(values) == 0 {
		return "", errors.New("the server got no header x-forwarded-client-cert")
	}
	for _, part := range strings.Split(values[len(values)-1], ";") {
		if uri, ok := strings.CutPrefix(part, "URI="); ok {
			return uri, nil
		}
	}
	return "", fmt.Errorf("no URI in %q", values)
}

func testPeerIdentity(t *testing.T) {
	application(t)
	r := until(t, "a call by mutual TLS", answered, call, echoURL)
	e, err := r.Echo()
	must(t, err)
	uri, err := identity(e)
	must(t, err)
	if uri != clientSPIFFE {
		t.Errorf("the peer is %q, want %q", uri, clientSPIFFE)
	}
	// A client cannot make up an identity: neither one with a proxy nor one without.
	const forged = "URI=spiffe://cluster.local/ns/kube-system/sa/admin"
	r, err = call(t.Context(), echoURL, "--header="+clientCert+":"+forged)
	must(t, err)
	e, err = r.Echo()
	must(t, err)
	if uri, err = identity(e); err != nil || uri != clientSPIFFE {
		t.Errorf("with a forged header the peer is %q (%v), want %q", uri, err, clientSPIFFE)
	}
	r, err = callPlain(t.Context(), echoFar, "--header="+clientCert+":"+forged)
	must(t, err)
	e, err = r.Echo()
	must(t, err)
	if strings.Contains(strings.Join(e.Headers[clientCert], ","), "kube-system") {
		t.Errorf("a forged identity reached the server in plaintext: %v", e.Headers[clientCert])
	}
}
