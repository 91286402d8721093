// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package agent

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshwright/meshwright/internal/agent/node"
)

func TestBecomesReadyOnlyWithCertificateAndConfiguration(t *testing.T) {
	r := newRig(t, node.Sidecar, time.Hour)
	r.start() // There is no token yet, so there can be no certificate.
	r.eventually(10*time.Second, "the reason", func() error {
		if err := r.ready(); err == nil || !strings.Contains(err.Error(), "certificate") {
			return fmt.Errorf("readiness says %v", err)
		}
		return nil
	})
	r.write(r.config.TokenFile, []byte(goodToken+"\n"))
	r.eventually(40*time.Second, "readiness", r.ready)

	_, streams, peers, refused, nodes := r.plane.seen()
	if streams != 1 || len(peers) != 1 || peers[0] != identityURI || len(refused) != 0 {
		t.Errorf("%d streams of %v, refused %v; want one of %s", streams, peers, refused, identityURI)
	}
	if len(nodes) != 1 || nodes[0].GetId() != "sidecar~127.0.0.1~reviews-1.shop~shop.svc.cluster.local" || nodes[0].GetCluster() != "reviews.shop" {
		t.Errorf("nodes %v", nodes)
	}
	if code, body, err := get(http.DefaultClient, "http://"+r.plain+"/"); err != nil || code != 200 || body != "hello" {
		t.Errorf("call through the proxy: %d %q %v", code, body, err)
	}
	if _, _, err := get(http.DefaultClient, "https://"+r.secure+"/"); err == nil {
		t.Error("a client without a certificate of the mesh was served")
	}
	r.checkSecretsStayInMemory()
	r.checkMetrics()
}

// checkSecretsStayInMemory looks for keys in everything that the agent wrote, and at who may open its socket.
func (r *rig) checkSecretsStayInMemory() {
	r.t.Helper()
	err := filepath.WalkDir(r.config.StateDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			return fmt.Errorf("%s is open to others: %s", path, info.Mode())
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, []byte("PRIVATE KEY")) {
			err = fmt.Errorf("%s holds a private key", path)
		}
		return err
	})
	if err != nil {
		r.t.Error(err)
	}
}

func (r *rig) checkMetrics() {
	r.t.Helper()
	code, page, err := get(http.DefaultClient, "http://"+r.config.StatusAddress+"/stats/prometheus")
	if err != nil || code != 200 {
		r.t.Fatalf("metrics page: %d %v", code, err)
	}
	for _, want := range []string{
		"\nistio_requests_total{response_code=\"200\"} ", "# TYPE istio_requests_total counter", "\napp_things_total 7\n",
		"\nmeshwright_agent_certificate_requests_total{result=\"success\"} 1\n", "\nenvoy_server_live", `cluster_name="xds-grpc"`,
	} {
		if !strings.Contains(page, want) {
			r.t.Errorf("the metrics page lacks %q", want)
		}
	}
	if r.t.Failed() {
		r.t.Log(page)
	}
}

// meshClient shows the mesh's certificate and records the serial numbers that the proxy shows.
type meshClient struct {
	*http.Client
	mu      sync.Mutex
	serials map[string]bool
}

func (r *rig) meshClient(keepAlive bool) *meshClient {
	c := &meshClient{serials: map[string]bool{}}
	c.Client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: !keepAlive,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{r.plane.certificate(r.t, "spiffe://cluster.local/ns/shop/sa/client")},
			// The name of a workload is its SPIFFE id, which VerifyConnection checks.
			InsecureSkipVerify: true,
			VerifyConnection: func(state tls.ConnectionState) error {
				leaf := state.PeerCertificates[0]
				if err := leaf.CheckSignatureFrom(r.plane.root); err != nil {
					return err
				}
				if time.Now().After(leaf.NotAfter) || leaf.URIs[0].String() != identityURI {
					return fmt.Errorf("certificate of %s until %s", leaf.URIs[0], leaf.NotAfter)
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				c.serials[leaf.SerialNumber.String()] = true
				return nil
			},
		},
	}}
	return c
}

func TestRotationBreaksNothing(t *testing.T) {
	r := newRig(t, node.Sidecar, 4*time.Second)
	r.startReady()
	held, fresh := r.meshClient(true), r.meshClient(false)
	calls := 0
	for deadline := time.Now().Add(9 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for name, client := range map[string]*meshClient{"held": held, "fresh": fresh} {
			if code, _, err := get(client.Client, "https://"+r.secure+"/"); err != nil || code != 200 {
				t.Fatalf("%s connection, call %d: %d %v", name, calls, code, err)
			}
			calls++
		}
	}
	signed, streams, _, refused, _ := r.plane.seen()
	t.Logf("%d calls, %d certificates", calls, signed)
	if signed < 3 || len(fresh.serials) < 3 {
		t.Errorf("%d certificates signed, %d seen on the wire; nothing was rotated", signed, len(fresh.serials))
	}
	if len(held.serials) != 1 {
		t.Errorf("the held connection was made %d times", len(held.serials))
	}
	if streams != 1 || len(refused) != 0 {
		t.Errorf("%d configuration streams, refused %v; rotation must not touch the stream", streams, refused)
	}
}

func TestControlPlaneAway(t *testing.T) {
	r := newRig(t, node.Sidecar, time.Hour)
	r.startReady()
	r.plane.grpc.Stop()
	client := r.meshClient(false)
	for range 20 {
		if code, _, err := get(client.Client, "https://"+r.secure+"/"); err != nil || code != 200 {
			t.Fatalf("call while the control plane is away: %d %v", code, err)
		}
		if err := r.ready(); err != nil {
			t.Fatalf("readiness while the control plane is away: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestSidecarFinishesCallsInFlight(t *testing.T) {
	r := newRig(t, node.Sidecar, time.Hour)
	r.startReady()
	// An idle connection that a client keeps open must not hold the pod back.
	idle := &http.Client{Transport: &http.Transport{}}
	if _, _, err := get(idle, "http://"+r.plain+"/"); err != nil {
		t.Fatal(err)
	}
	slow := r.slowCall(r.meshClient(true).Client, "https://"+r.secure+"/slow")
	time.Sleep(300 * time.Millisecond)
	began := time.Now()
	r.cancel()
	if err := <-slow; err != nil {
		t.Errorf("the call in flight was lost: %v", err)
	}
	if err := r.ended(10 * time.Second); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %s to end with one call of 1.2 s in flight", took)
	}
}

func (r *rig) slowCall(client *http.Client, address string) <-chan error {
	out := make(chan error, 1)
	go func() {
		code, body, err := get(client, address)
		if err == nil && (code != 200 || body != "hello") {
			err = fmt.Errorf("%d %q", code, body)
		}
		out <- err
	}()
	return out
}

// TestPrestopDrainsBeforeTheApplicationStops is the order of a deleted pod: hook, application's end, sidecar's end.
func TestPrestopDrainsBeforeTheApplicationStops(t *testing.T) {
	r := newRig(t, node.Sidecar, time.Hour)
	r.startReady()
	hook := "http://" + r.config.StatusAddress + "/prestop/"
	if code, _, err := get(http.DefaultClient, hook+"guessed-token-xxxxxxxxx"); err != nil || code != http.StatusNotFound {
		t.Fatalf("hook with a wrong token: %d %v", code, err)
	}
	slow := r.slowCall(http.DefaultClient, "http://"+r.plain+"/slow")
	time.Sleep(300 * time.Millisecond)
	hooked := make(chan error, 1)
	began := time.Now()
	go func() {
		code, _, err := get(http.DefaultClient, hook+r.config.PrestopToken)
		if err == nil && code != 200 {
			err = fmt.Errorf("status %d", code)
		}
		hooked <- err
	}()
	// While the hook waits, late clients are served, and asked to leave.
	r.eventually(3*time.Second, "clients asked to leave", func() error {
		resp, err := (&http.Client{Transport: &http.Transport{}}).Get("http://" + r.plain + "/")
		if err != nil {
			t.Fatalf("a late client was refused: %v", err)
		}
		defer resp.Body.Close()
		if !resp.Close {
			return errors.New("the connection is kept open")
		}
		return nil
	})
	if err := <-slow; err != nil {
		t.Errorf("the call in flight was lost: %v", err)
	}
	if err := <-hooked; err != nil {
		t.Errorf("hook: %v", err)
	}
	if took := time.Since(began); took < prestopMinimum || took > prestopLimit {
		t.Errorf("the hook took %s", took)
	}
	r.app.Close()
	stopped := time.Now()
	r.cancel()
	if err := r.ended(5 * time.Second); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if took := time.Since(stopped); took > 2*time.Second {
		t.Errorf("the sidecar ended %s after its application", took)
	}
}

func TestRouterLeavesLoadBalancersFirst(t *testing.T) {
	r := newRig(t, node.Router, time.Hour)
	r.config.DrainMinimum = 3 * time.Second
	r.startReady()
	client := &http.Client{Transport: &http.Transport{}}
	if _, _, err := get(client, "http://"+r.plain+"/"); err != nil {
		t.Fatal(err)
	}
	r.cancel()
	r.eventually(2*time.Second, "readiness off", func() error {
		if err := r.ready(); err == nil || !strings.Contains(err.Error(), "terminating") {
			return fmt.Errorf("readiness says %v", err)
		}
		return nil
	})
	// New clients are still served, and the held connection is given up with its next response.
	for _, c := range []*http.Client{client, {Transport: &http.Transport{}}} {
		r.eventually(2*time.Second, "a client asked to leave", func() error {
			resp, err := c.Get("http://" + r.plain + "/")
			if err != nil {
				t.Fatalf("call while draining: %v", err)
			}
			_ = resp.Body.Close()
			if !resp.Close {
				return errors.New("the connection is kept open")
			}
			return nil
		})
	}
	if err := r.ended(8 * time.Second); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

func TestQuitFromWithinThePod(t *testing.T) {
	r := newRig(t, node.Sidecar, time.Hour)
	r.startReady()
	resp, err := http.Post("http://"+r.config.StatusAddress+"/quitquitquit", "", nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	_ = resp.Body.Close()
	if err := r.ended(5 * time.Second); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

func TestEnvoyDies(t *testing.T) {
	r := newRig(t, node.Sidecar, time.Hour)
	r.startReady()
	children := childrenNamed(t, "envoy")
	if len(children) != 1 {
		t.Fatalf("envoy processes: %v", children)
	}
	if err := syscall.Kill(children[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *ExitError
	if err := r.ended(5 * time.Second); !errors.As(err, &exit) || exit.Code != 128+int(syscall.SIGKILL) {
		t.Errorf("the agent ended with %v", err)
	}
	if left := childrenNamed(t, "envoy"); len(left) != 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// childrenNamed lists this process' own children by the name of their program.
func childrenNamed(t *testing.T, name string) []int {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			comm, _ := os.ReadFile(filepath.Join("/proc", field, "comm"))
			if strings.TrimSpace(string(comm)) == name {
				out = append(out, pid)
			}
		}
	}
	return out
}

// TestNoCertificateIsNoEnd shows that a pod without a control plane starts, says why it is not ready, and can be stopped.
func TestNoCertificateIsNoEnd(t *testing.T) {
	r := newRig(t, node.Sidecar, time.Hour)
	r.write(r.config.TokenFile, []byte("wrong"))
	r.start()
	time.Sleep(time.Second)
	if err := r.ready(); err == nil {
		t.Error("ready without a certificate")
	}
	r.cancel()
	if err := r.ended(5 * time.Second); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if signed, _, _, _, _ := r.plane.seen(); signed != 0 {
		t.Error("a wrong token got a certificate")
	}
	if diff := cmp.Diff([]int(nil), childrenNamed(t, "envoy")); diff != "" {
		t.Errorf("processes are left (-want +got):\n%s", diff)
	}
}
