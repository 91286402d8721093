// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// plainManifest is a pod without a proxy.
//
//go:embed plain.yaml
var plainManifest []byte

const (
	splitRequests  = 1000
	headerRequests = 100
	tolerance      = 3.0 // points of percent
	reviewsPath    = "/api/v1/products/0/reviews"
	plainURL       = "http://ratings.bookinfo.svc.cluster.local:9080/ratings/0"
)

// shop starts Bookinfo in a namespace that asks for proxies.
func (d *demo) shop(ctx context.Context) error {
	if err := d.cluster.MakeNamespace(ctx, shopNamespace, map[string]string{"istio-injection": "enabled"}); err != nil {
		return err
	}
	old, err := d.exists(ctx, shopNamespace, "productpage-v1")
	if err != nil {
		return err
	}
	if err := d.cluster.ApplyFiles(ctx, shopNamespace, samples+"platform/bookinfo.yaml", samples+"networking/destination-rule-all.yaml",
		samples+"networking/virtual-service-all-v1.yaml", samples+"networking/bookinfo-gateway.yaml"); err != nil {
		return err
	}
	if old && d.fresh {
		list, err := d.cluster.Kube.AppsV1().Deployments(shopNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list the Deployments of %s: %w", shopNamespace, err)
		}
		for _, item := range list.Items {
			if err := d.cluster.Restart(ctx, shopNamespace, item.Name); err != nil {
				return err
			}
		}
	}
	if err := d.cluster.WaitDeployments(ctx, installLimit, shopNamespace); err != nil {
		return err
	}
	pods, err := d.cluster.Kube.CoreV1().Pods(shopNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the pods of %s: %w", shopNamespace, err)
	}
	for i := range pods.Items {
		if _, ok := env.Sidecar(&pods.Items[i]); !ok {
			return fmt.Errorf("pod %s has no proxy: is the injection webhook in place?", pods.Items[i].Name)
		}
	}
	d.out.detail("%d pods run, each with a proxy", len(pods.Items))
	return nil
}

func (d *demo) url(path string) string { return "http://" + d.address + path }

// ingress waits for the first page and measures the next hundred.
func (d *demo) ingress(ctx context.Context) error {
	address, err := d.cluster.Address(ctx, time.Minute, env.MeshNamespace, env.IngressGateway)
	if err != nil {
		return err
	}
	d.address = address
	err = env.Eventually(ctx, time.Minute, "the product page at "+d.url("/productpage"), func(ctx context.Context) error {
		res := env.Send(ctx, env.Request{URL: d.url("/productpage"), Timeout: 5 * time.Second})
		return pageProblem(res)
	})
	if err != nil {
		return err
	}
	report := env.Summary(env.Load(ctx, env.Request{URL: d.url("/productpage"), Count: 100}), nil)
	d.out.detail("GET %s: %s", d.url("/productpage"), report)
	if report.Failed() > 0 {
		return fmt.Errorf("%d of %d requests failed", report.Failed(), report.Requests)
	}
	return nil
}

func pageProblem(res env.Result) error {
	switch {
	case res.Err != nil:
		return res.Err
	case res.Code != http.StatusOK:
		return fmt.Errorf("status %d: %.200s", res.Code, res.Body)
	case !strings.Contains(string(res.Body), "Comedy of Errors") || strings.Contains(string(res.Body), "currently unavailable"):
		return errors.New("the page is there, but the services behind it do not answer yet")
	}
	return nil
}

// share sends n requests for reviews and counts the versions that answered.
func (d *demo) share(ctx context.Context, n int, header http.Header) (env.Report, error) {
	report := env.Summary(env.Load(ctx, env.Request{URL: d.url(reviewsPath), Header: header, Count: n, Concurrency: 8}), nil)
	if report.Failed() > 0 {
		return report, fmt.Errorf("%d of %d requests failed: %s", report.Failed(), report.Requests, report)
	}
	return report, nil
}

// split measures once the new weights show: until then v2 gets nothing.
func (d *demo) split(ctx context.Context) error {
	if err := d.cluster.ApplyFiles(ctx, shopNamespace, samples+"networking/virtual-service-reviews-90-10.yaml"); err != nil {
		return err
	}
	if err := d.reached(ctx, nil, func(r env.Report) bool { return r.Versions["v1"] > 0 && r.Versions["v2"] > 0 && r.Versions["v3"] == 0 }); err != nil {
		return err
	}
	report, err := d.share(ctx, splitRequests, nil)
	if err != nil {
		return err
	}
	d.out.detail("%d requests: %.1f %% answered by v1, %.1f %% by v2; p50 %.1f ms, p99 %.1f ms",
		report.Requests, report.Share("v1"), report.Share("v2"), report.Latency.P50, report.Latency.P99)
	if math.Abs(report.Share("v1")-90) > tolerance {
		return fmt.Errorf("v1 got %.1f %%, which is more than %.0f points from 90 %%", report.Share("v1"), tolerance)
	}
	return nil
}

// reached waits until 50 requests show what the new route should do, and tells
// how long the change took to arrive.
func (d *demo) reached(ctx context.Context, header http.Header, shown func(env.Report) bool) error {
	start := time.Now()
	err := env.Eventually(ctx, 30*time.Second, "the new route at every proxy", func(ctx context.Context) error {
		report, err := d.share(ctx, 50, header)
		if err == nil && !shown(report) {
			err = fmt.Errorf("versions %v", report.Versions)
		}
		return err
	})
	if err == nil {
		d.out.detail("the new route showed after %.1f s", time.Since(start).Seconds())
	}
	return err
}

func (d *demo) header(ctx context.Context) error {
	if err := d.cluster.ApplyFiles(ctx, shopNamespace, samples+"networking/virtual-service-reviews-test-v2.yaml"); err != nil {
		return err
	}
	jason := http.Header{"End-User": {"jason"}}
	if err := d.reached(ctx, jason, func(r env.Report) bool { return r.Share("v2") == 100 }); err != nil {
		return err
	}
	for _, c := range []struct {
		who    string
		header http.Header
		want   string
	}{{"jason", jason, "v2"}, {"others", nil, "v1"}} {
		report, err := d.share(ctx, headerRequests, c.header)
		if err != nil {
			return err
		}
		d.out.detail("%d requests as %s: %.0f %% answered by %s", report.Requests, c.who, report.Share(c.want), c.want)
		if report.Share(c.want) != 100 {
			return fmt.Errorf("requests as %s went to %v, want %s only", c.who, report.Versions, c.want)
		}
	}
	return nil
}

// strict shows the same plaintext call answered before the policy and refused
// after it, while the application goes on.
func (d *demo) strict(ctx context.Context) error {
	if err := d.cluster.MakeNamespace(ctx, plainSpace, nil); err != nil {
		return err
	}
	if err := d.cluster.Apply(ctx, plainSpace, plainManifest); err != nil {
		return err
	}
	policy, err := os.ReadFile(samples + "networking/peer-authentication-strict.yaml")
	if err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	if err := d.cluster.Delete(ctx, shopNamespace, policy); err != nil { // of an earlier run
		return err
	}
	if err := d.cluster.WaitDeployments(ctx, time.Minute, plainSpace); err != nil {
		return err
	}
	call := func(ctx context.Context) (env.Report, error) {
		return d.cluster.Call(ctx, plainSpace, "app=plain", "plain", plainURL, "--keep-alive=false", "--timeout=5s")
	}
	err = env.Eventually(ctx, 30*time.Second, "a plaintext call without the policy", func(ctx context.Context) error {
		report, err := call(ctx)
		if err == nil && report.Failed() > 0 {
			err = errors.New(report.String())
		}
		return err
	})
	if err != nil {
		return err
	}
	d.out.detail("without the policy a pod without a proxy gets its answer: 200")
	if err := d.cluster.Apply(ctx, shopNamespace, policy); err != nil {
		return err
	}
	start := time.Now()
	var refused env.Report
	err = env.Eventually(ctx, 30*time.Second, "a refused plaintext call", func(ctx context.Context) error {
		var err error
		if refused, err = call(ctx); err == nil && len(refused.Errors) == 0 {
			err = fmt.Errorf("it is still answered: %s", refused)
		}
		return err
	})
	if err != nil {
		return err
	}
	for text := range refused.Errors {
		d.out.detail("with PeerAuthentication STRICT the same call fails after %.1f s: %s", time.Since(start).Seconds(), text)
	}
	report := env.Summary(env.Load(ctx, env.Request{URL: d.url("/productpage"), Count: 100}), nil)
	d.out.detail("the application goes on by mutual TLS: %s", report)
	if report.Failed() > 0 {
		return fmt.Errorf("%d of %d requests of the application failed under STRICT", report.Failed(), report.Requests)
	}
	return nil
}
