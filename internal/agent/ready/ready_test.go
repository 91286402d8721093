// SPDX-License-Identifier: Apache-2.0

package ready

import (
	"context"
	"errors"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type proxy struct {
	live   error
	values map[string]uint64
	err    error
	looks  int
	reads  int
}

func (p *proxy) Live(context.Context) error { p.looks++; return p.live }

func (p *proxy) Values(_ context.Context, expression string) (map[string]uint64, error) {
	p.reads++
	match := regexp.MustCompile(expression)
	out := map[string]uint64{}
	for name, value := range p.values {
		if match.MatchString(name) {
			out[name] = value
		}
	}
	return out, p.err
}

func configured() map[string]uint64 {
	return map[string]uint64{cdsAccepted: 1, ldsAccepted: 1, workers: 1, activeCluster: 5, activeListen: 2}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestReasons(t *testing.T) {
	tests := []struct {
		name   string
		served <-chan struct{}
		spoil  func(*proxy)
		want   string
	}{
		{name: "ready", spoil: func(*proxy) {}},
		{name: "no certificate", served: make(chan struct{}), spoil: func(*proxy) {}, want: "certificate"},
		{name: "no envoy", spoil: func(p *proxy) { p.err = errors.New("refused") }, want: "refused"},
		{name: "no clusters", spoil: func(p *proxy) { p.values[cdsAccepted] = 0 }, want: "clusters"},
		{name: "no listeners", spoil: func(p *proxy) { p.values[ldsAccepted] = 0 }, want: "listeners"},
		{name: "no workers", spoil: func(p *proxy) { p.values[workers] = 0 }, want: "workers"},
		{name: "initializing", spoil: func(p *proxy) { p.live = errors.New("envoy is INITIALIZING") }, want: "INITIALIZING"},
		{name: "one bad cluster among good ones", spoil: func(p *proxy) { p.values[cdsAccepted], p.values[cdsRejected] = 0, 1 }},
		{name: "only bad clusters", spoil: func(p *proxy) {
			p.values[cdsAccepted], p.values[cdsRejected], p.values[activeCluster] = 0, 1, staticClusters
		}, want: "1 updates rejected"},
		{name: "one bad listener among good ones", spoil: func(p *proxy) { p.values[ldsAccepted], p.values[ldsRejected] = 0, 3 }},
		{name: "only bad listeners", spoil: func(p *proxy) {
			p.values[ldsAccepted], p.values[ldsRejected], p.values[activeListen] = 0, 3, 0
		}, want: "3 updates rejected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &proxy{values: configured()}
			tt.spoil(p)
			if tt.served == nil {
				tt.served = closed()
			}
			w := httptest.NewRecorder()
			NewChecker(p, tt.served).ServeHTTP(w, httptest.NewRequest("GET", "/healthz/ready", nil))
			want := 200
			if tt.want != "" {
				want = 503
			}
			if w.Code != want || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d %s; want %d and %q", w.Code, w.Body, want, tt.want)
			}
		})
	}
}

func TestAnswersAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &proxy{values: configured()}
		c := NewChecker(p, closed())
		for range 1000 {
			if err := c.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if p.looks < 9 || p.looks > 11 || p.reads != 1 {
			t.Errorf("%d looks and %d readings of metrics in ten seconds, want 10 and 1", p.looks, p.reads)
		}
		p.live = errors.New("envoy is DRAINING")
		time.Sleep(goodFor)
		if err := c.Check(t.Context()); err == nil {
			t.Error("an old answer was given")
		}
		p.live = nil
		time.Sleep(badFor)
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("a bad answer stuck: %v", err)
		}
	})
}

func TestTerminating(t *testing.T) {
	c := NewChecker(&proxy{values: configured()}, closed())
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Terminate()
	if err := c.Check(t.Context()); !errors.Is(err, ErrTerminating) {
		t.Errorf("got %v", err)
	}
}

func TestImpatientCallerLeavesNoTrace(t *testing.T) {
	p := &proxy{values: configured(), live: errors.New("context canceled")}
	c := NewChecker(p, closed())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Check(ctx); err == nil {
		t.Error("want the error of the cancelled look")
	}
	p.live = nil
	if err := c.Check(t.Context()); err != nil {
		t.Errorf("the next caller got the cancelled answer: %v", err)
	}
}
