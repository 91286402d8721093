// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/meshwright/meshwright/internal/ca"
	"github.com/meshwright/meshwright/internal/inject"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

type labelled map[string]map[string]string

func (l labelled) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	return l[name], nil
}

// world is the control planes of the revisions default and next, each behind a server of its own.
type world struct {
	t          *testing.T
	authority  *ca.Authority
	url        string // of default
	colleagues *Colleagues
	next       string // address of next
	dials      atomic.Int64
	logged     atomic.Int64
	// seen is the last request that next was asked about; answer is what it says instead of its own.
	seen   atomic.Pointer[admissionv1.AdmissionRequest]
	answer func(context.Context) *admissionv1.AdmissionResponse
	inner  *inject.Injector
}

func (w *world) Review(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return w.inner.Review(ctx, r)
}

func (w *world) Below(path string) (ReviewFunc, error) {
	decide, err := w.inner.Below(path)
	return func(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		w.seen.Store(r)
		if w.answer != nil {
			return w.answer(ctx)
		}
		return decide(ctx, r)
	}, err
}

func (w *world) injector(revision string, colleagues inject.Colleagues) *inject.Injector {
	w.t.Helper()
	config := inject.Config{
		Revision: revision, Image: "proxy:" + revision, PullPolicy: corev1.PullIfNotPresent, DiscoveryAddress: revision + ":15012",
		TrustDomain: "cluster.local", ClusterID: "c", ClusterDomain: "cluster.local",
	}
	namespaces := labelled{"app": {inject.LabelNamespace: "enabled"}, "blue": {placement.LabelRevision: "blue"}}
	log := funcr.New(func(string, string) { w.logged.Add(1) }, funcr.Options{})
	out, err := inject.NewInjector(config, namespaces, proxyconfig.NewStore(proxyconfig.Settings{}, "istio-system"), colleagues, log)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, authority: authority(t)}
	w.inner = w.injector("next", nil)
	w.next = start(t, w.authority, "meshwright-next.istio-system.svc", map[string]Reviewer{PathInject: w})
	w.colleagues = NewColleagues(w.authority.Bundle().Pool(), func(revision string) string { return "meshwright-" + revision + ".istio-system.svc" })
	w.colleagues.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		w.dials.Add(1)
		if address != "meshwright-next.istio-system.svc:443" {
			return nil, errors.New("there is no " + address)
		}
		return new(net.Dialer).DialContext(ctx, network, w.next)
	}
	w.url = "https://" + start(t, w.authority, serviceName, map[string]Reviewer{PathInject: w.injector("default", w.colleagues)})
	return w
}

var web = placement.Workload{Namespace: "app", Kind: "StatefulSet", Name: "web"}

// ask reviews a pod of web, whose namespace only the request says, at a path of default.
func (w *world) ask(path, namespace string, dry bool) *admissionv1.AdmissionResponse {
	w.t.Helper()
	pod, err := json.Marshal(corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "web-", OwnerReferences: []metav1.OwnerReference{{Kind: web.Kind, Name: web.Name, Controller: new(true)}}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	review := (&SelfCheck{Namespace: namespace}).review()
	review.Request.DryRun, review.Request.Object = &dry, runtime.RawExtension{Raw: pod}
	response, err := ask(w.t.Context(), newClient(w.authority).Transport, w.url+path, review)
	if err != nil {
		w.t.Fatal(err)
	}
	return response
}

// injected is the revision whose proxy is in the answer.
func injected(r *admissionv1.AdmissionResponse) string {
	for _, revision := range []string{"default", "next"} {
		if strings.Contains(string(r.Patch), `"proxy:`+revision+`"`) {
			return revision
		}
	}
	return ""
}

// passed is the count of reviews passed on with an outcome, over all tests of this process.
func passed(t *testing.T, outcome string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(inject.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "meshwright_injection_passed_on_total" && m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func split(upTo placement.Place) string {
	return placement.Path{Name: "default", Split: &placement.Split{Revision: "next", UpTo: upTo}}.String()
}

func TestPassedOn(t *testing.T) {
	w, before := newWorld(t), passed(t, "Answered")
	for _, c := range []struct {
		path, namespace string
		dry             bool
		want            string
	}{
		{"/inject", "app", false, "default"},
		{"/inject/as/default", "app", false, "default"},
		{"/inject/as/blue", "app", false, ""},
		{"/inject/as/blue", "blue", false, "default"},
		{split(web.Place() - 1), "app", false, "default"},
		{split(web.Place()), "app", false, "next"},
		{split(web.Place()), "app", true, "next"},
		{split(^placement.Place(0)), "blue", false, ""},
		{"/inject/as/default/split/default/ffffffffffffffff", "app", false, "default"},
	} {
		w.seen.Store(nil)
		response := w.ask(c.path, c.namespace, c.dry)
		if got := injected(response); !response.Allowed || got != c.want || len(response.Warnings) > 0 {
			t.Errorf("%s in %s: proxy of %q, warnings %q, want %q", c.path, c.namespace, got, response.Warnings, c.want)
		}
		asked := w.seen.Load()
		if (asked != nil) != (c.want == "next") || asked != nil && (*asked.DryRun != c.dry || asked.UID != selfCheckUID) {
			t.Errorf("%s in %s: next was asked %+v", c.path, c.namespace, asked)
		}
	}
	if got := passed(t, "Answered") - before; got != 1 {
		t.Errorf("%v reviews were counted, want the one that is no dry run", got)
	}
	if got := w.dials.Load(); got != 1 {
		t.Errorf("%d connections were made, want one that is kept", got)
	}
}

func TestRefusalIsPassedBack(t *testing.T) {
	w := newWorld(t)
	w.answer = func(context.Context) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Code: http.StatusUnprocessableEntity, Message: "bad annotation"}}
	}
	if got := w.ask(split(web.Place()), "app", false); got.Allowed || got.Result == nil || got.Result.Message != "bad annotation" {
		t.Errorf("got %+v", got)
	}
}

// TestRevisionAway: pods start with the own proxy, and users and operators are told.
func TestRevisionAway(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"nobody listens": func(w *world) { w.next = "127.0.0.1:1" },
		"another's certificate": func(w *world) {
			w.next = start(w.t, w.authority, "meshwright-other.istio-system.svc", map[string]Reviewer{PathInject: w})
		},
		"another mesh": func(w *world) {
			w.next = start(w.t, authority(w.t), "meshwright-next.istio-system.svc", map[string]Reviewer{PathInject: w})
		},
		"an older one": func(w *world) {
			w.next = start(w.t, w.authority, "meshwright-next.istio-system.svc", map[string]Reviewer{PathInject: reviewFunc(allow)})
		},
		"cannot decide": func(w *world) {
			w.answer = func(context.Context) *admissionv1.AdmissionResponse {
				return &admissionv1.AdmissionResponse{Result: &metav1.Status{Code: http.StatusInternalServerError, Message: "no API server"}}
			}
		},
		"hangs": func(w *world) {
			w.colleagues.limit = 50 * time.Millisecond
			w.answer = func(ctx context.Context) *admissionv1.AdmissionResponse { <-ctx.Done(); return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, before := newWorld(t), passed(t, "Failed")
			spoil(w)
			for range 2 {
				response := w.ask(split(web.Place()), "app", false)
				if injected(response) != "default" || len(response.Warnings) != 1 || !strings.Contains(response.Warnings[0], "revision next") {
					t.Errorf("proxy of %q, warnings %q", injected(response), response.Warnings)
				}
			}
			if got := passed(t, "Failed") - before; got != 2 {
				t.Errorf("%v failures were counted", got)
			}
			if got := w.logged.Load(); got != 1 {
				t.Errorf("%d lines were logged of two failures in a row", got)
			}
		})
	}
}

// TestOnlyRevisionsAreCalled: the path comes from whoever reaches the port.
func TestOnlyRevisionsAreCalled(t *testing.T) {
	w := newWorld(t)
	body, err := json.Marshal((&SelfCheck{Namespace: "app"}).review())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/inject/as/default/split/evil.example/ffffffffffffffff", "/inject/as/default/split/a:443/ffffffffffffffff", "/inject/as/default/split/a%2fb/ffffffffffffffff",
		"/inject/as/default/split/next", "/inject/as/", "/inject/other", "/inject/as/default/split/next/ffffffffffffffff/more",
	} {
		response, err := newClient(w.authority).Post(w.url+path, "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s %s", path, response.Status, text)
		}
	}
	if got := w.dials.Load(); got != 0 {
		t.Errorf("%d connections were made", got)
	}
}
