// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/meshwright/meshwright/internal/ca"
	"github.com/meshwright/meshwright/internal/report"
)

const serviceName = "meshwright.istio-system.svc"

type reviewFunc func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

func (f reviewFunc) Review(_ context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return f(r)
}

func allow(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

func authority(t *testing.T) *ca.Authority {
	t.Helper()
	bundle, err := ca.NewBundle("cluster.local", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ca.NewAuthority(bundle, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// start serves and returns the address; the server is gone when the test ends.
func start(t *testing.T, a *ca.Authority, name string, reviewers map[string]Reviewer, checks ...Check) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := NewServer(ca.NewServing(a, name).TLS(), reviewers, checks, nil, logr.Discard())
	go func() { done <- server.Serve(ctx, listener, time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return LocalAddress(listener.Addr())
}

func newClient(a *ca.Authority) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.Bundle().Pool(), ServerName: serviceName}, DisableKeepAlives: true,
	}}
}

func post(t *testing.T, c *http.Client, url, kind string, body io.Reader) (int, string) {
	t.Helper()
	response, err := c.Post(url, kind, body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestReviewProtocol(t *testing.T) {
	a := authority(t)
	var seen *admissionv1.AdmissionRequest
	address := start(t, a, serviceName, map[string]Reviewer{
		PathInject:   reviewFunc(func(r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { seen = r; return allow(r) }),
		PathValidate: reviewFunc(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { return nil }),
	})
	c := newClient(a)
	body, err := json.Marshal((&SelfCheck{Namespace: "app"}).review())
	if err != nil {
		t.Fatal(err)
	}
	code, text := post(t, c, "https://"+address+PathInject, "application/json; charset=utf-8", strings.NewReader(string(body)))
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(text), &review); err != nil || code != http.StatusOK {
		t.Fatalf("%d %s %v", code, text, err)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != "admission.k8s.io/v1" || review.Response.UID != selfCheckUID || !review.Response.Allowed || review.Request != nil {
		t.Errorf("answered %s", text)
	}
	if seen == nil || seen.Namespace != "app" {
		t.Errorf("the reviewer saw %+v", seen)
	}
	if _, text = post(t, c, "https://"+address+PathValidate, "application/json", strings.NewReader(string(body))); !strings.Contains(text, `"allowed":false`) {
		t.Errorf("a reviewer without outcome gives %s", text)
	}
	for name, bad := range map[string]struct {
		kind, body string
		code       int
	}{
		"not JSON":     {"application/json", "{", 400},
		"no request":   {"application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, 400},
		"no uid":       {"application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}`, 400},
		"old version":  {"application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"1"}}`, 400},
		"another kind": {"application/json", `{"kind":"Pod","apiVersion":"v1"}`, 400},
		"a form":       {"text/plain", string(body), 415},
		"too large":    {"application/json", strings.Repeat(" ", maxReviewBytes+1), 413},
	} {
		if code, text := post(t, c, "https://"+address+PathInject, bad.kind, strings.NewReader(bad.body)); code != bad.code {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	if response, err := c.Get("https://" + address + PathInject); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v %v", response, err)
	}
}

func TestReadinessNamesWhatFails(t *testing.T) {
	a := authority(t)
	var broken atomic.Bool
	address := start(t, a, serviceName, nil, Check{"always", func() error { return nil }}, Check{"sometimes", func() error {
		if broken.Load() {
			return errors.New("it rains")
		}
		return nil
	}})
	c := newClient(a)
	get := func(path string) string {
		t.Helper()
		response, err := c.Get("https://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return fmt.Sprint(response.StatusCode, " ", string(text))
	}
	if got := get(PathReady); got != "200 ok\n" {
		t.Errorf("got %q", got)
	}
	if got := get(PathReady + "?verbose"); got != "200 [+] always: ok\n[+] sometimes: ok\nok\n" {
		t.Errorf("got %q", got)
	}
	broken.Store(true)
	if got := get(PathReady); got != "503 [-] sometimes: it rains\n[+] always: ok\n" {
		t.Errorf("got %q", got)
	}
	if got := get(PathLive); got != "200 ok\n" {
		t.Errorf("got %q", got)
	}
	if got := get(PathInject); !strings.HasPrefix(got, "404") {
		t.Errorf("a path that nobody reviews gives %q", got)
	}
}

// TestStatus: everybody may ask, so it is made once in a while at most.
func TestStatus(t *testing.T) {
	made, now := 0, time.Now()
	s := &status{make: func() report.Report {
		made++
		return report.Report{Revision: "default", Proxies: report.Proxies{Connected: made}}
	}}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {statusPause / 2, 1}, {statusPause, 2}} {
		text, err := s.current(now.Add(c.after))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := report.Read(bytes.NewReader(text)); err != nil || got.Proxies.Connected != c.want {
			t.Errorf("after %s: %+v, %v", c.after, got, err)
		}
	}
	for method, code := range map[string]int{http.MethodGet: 200, http.MethodPost: 405} {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, httptest.NewRequest(method, report.Path, nil)); w.Code != code {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestSelfCheck(t *testing.T) {
	a, foreign := authority(t), authority(t)
	good := start(t, a, serviceName, map[string]Reviewer{PathInject: reviewFunc(allow)})
	refusing := start(t, a, serviceName, map[string]Reviewer{PathInject: reviewFunc(func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { return nil })})
	missing := start(t, a, serviceName, nil)
	for name, c := range map[string]struct {
		check *SelfCheck
		want  string
	}{
		"good":           {&SelfCheck{Address: good, ServerName: serviceName, Roots: a.Bundle().Pool()}, ""},
		"another root":   {&SelfCheck{Address: good, ServerName: serviceName, Roots: foreign.Bundle().Pool()}, "certificate"},
		"another name":   {&SelfCheck{Address: good, ServerName: "other.svc", Roots: a.Bundle().Pool()}, "other.svc"},
		"refuses":        {&SelfCheck{Address: refusing, ServerName: serviceName, Roots: a.Bundle().Pool()}, "refuses"},
		"nobody reviews": {&SelfCheck{Address: missing, ServerName: serviceName, Roots: a.Bundle().Pool()}, "404"},
	} {
		check := c.check.Repeated()
		if err := check.Ready(); !errors.Is(err, errNotYet) {
			t.Errorf("%s: before the first call: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); check.Run(ctx) }()
		deadline := time.Now().Add(10 * time.Second)
		for errors.Is(check.Ready(), errNotYet) && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if err := check.Ready(); (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		cancel()
		<-ended
	}
}

func TestLocalAddress(t *testing.T) {
	for _, c := range []struct{ in, want string }{{"0.0.0.0:15017", "127.0.0.1:15017"}, {"[::]:15017", "127.0.0.1:15017"}, {"10.0.0.1:1", "10.0.0.1:1"}} {
		address, err := net.ResolveTCPAddr("tcp", c.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := LocalAddress(address); got != c.want {
			t.Errorf("%s became %s", c.in, got)
		}
	}
}
