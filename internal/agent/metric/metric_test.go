// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

type proxy struct {
	page string
	err  error
}

func (p proxy) Metrics(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(p.page)), p.err
}

const envoyPage = `# TYPE envoy_istio_requests_total counter
envoy_istio_requests_total{response_code="200"} 3
# TYPE envoy_istio_istio_request_duration_milliseconds histogram
envoy_istio_istio_request_duration_milliseconds_bucket{le="+Inf"} 3
envoy_istio_istio_request_duration_milliseconds_sum 30
envoy_istio_istio_request_duration_milliseconds_count 3
# TYPE envoy_server_live gauge
envoy_server_live{note="envoy_istio_x"} 1
`

func application(t *testing.T, media, page string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
			t.Errorf("the application was asked for %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, page)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func scrape(t *testing.T, page *Page, header http.Header) (*httptest.ResponseRecorder, string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/stats/prometheus", nil)
	for name := range header {
		r.Header.Set(name, header.Get(name))
	}
	page.ServeHTTP(w, r)
	body := io.Reader(w.Body)
	if w.Header().Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		body = unzipped
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return w, string(text)
}

func TestPageJoinsThree(t *testing.T) {
	app := application(t, "text/plain; version=0.0.4", "# TYPE app_things_total counter\napp_things_total 7\n")
	registry := prometheus.NewRegistry()
	NewCertificate(registry).Requested(nil)
	page := NewPage(proxy{page: envoyPage}, app, nil, registry, logr.Discard())
	for _, header := range []http.Header{{}, {"Accept-Encoding": {"deflate, gzip;q=1.0"}}} {
		w, text := scrape(t, page, header)
		if got := w.Header().Get("Content-Type"); got != contentType {
			t.Errorf("content type %q", got)
		}
		if zipped := w.Header().Get("Content-Encoding") == "gzip"; zipped != (len(header) > 0) {
			t.Errorf("compressed: %t", zipped)
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			t.Fatalf("the page cannot be parsed: %v\n%s", err, text)
		}
		for _, name := range []string{
			"istio_requests_total", "istio_request_duration_milliseconds", "envoy_server_live", "app_things_total",
			"meshwright_agent_certificate_requests_total",
		} {
			if families[name] == nil {
				t.Errorf("the page lacks %s:\n%s", name, text)
			}
		}
		if got := families["istio_request_duration_milliseconds"].GetMetric()[0].GetHistogram().GetSampleCount(); got != 3 {
			t.Errorf("histogram count %d", got)
		}
		if !strings.Contains(text, `note="envoy_istio_x"`) {
			t.Error("a label's value was renamed")
		}
	}
}

func TestPartsFailAlone(t *testing.T) {
	app := application(t, "text/plain", "app_up 1\n")
	tests := []struct {
		name       string
		proxy      proxy
		app        string
		has, lacks []string
	}{
		{
			name: "envoy away", proxy: proxy{err: errors.New("refused")}, app: app,
			has: []string{"app_up 1", `scrape_failures_total{source="envoy"} 1`}, lacks: []string{"envoy_server_live"},
		},
		{
			name: "application away", proxy: proxy{page: envoyPage}, app: "http://127.0.0.1:1/metrics",
			has: []string{"envoy_server_live", `scrape_failures_total{source="application"} 1`},
		},
		{
			name: "binary page", proxy: proxy{page: envoyPage}, app: application(t, "application/vnd.google.protobuf", "\x00\x01"),
			has: []string{"envoy_server_live", `scrape_failures_total{source="application"} 1`}, lacks: []string{"\x00"},
		},
		{
			name: "no application", proxy: proxy{page: envoyPage},
			has: []string{"envoy_server_live"}, lacks: []string{"scrape_failures_total{"},
		},
		{
			name: "OpenMetrics page", proxy: proxy{page: envoyPage},
			app: application(t, "application/openmetrics-text; version=1.0.0",
				"# TYPE app_a counter\n# UNIT app_a seconds\napp_a_total{x=\"# {\"} 1 # {trace=\"1\"} 0.5\n# EOF\n"),
			has: []string{`app_a_total{x="# {"} 1` + "\n"}, lacks: []string{"EOF", "trace"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page := NewPage(tt.proxy, tt.app, nil, prometheus.NewRegistry(), logr.Discard())
			_, text := scrape(t, page, nil)
			for _, want := range tt.has {
				if !strings.Contains(text, want) {
					t.Errorf("lacks %q:\n%s", want, text)
				}
			}
			for _, bad := range tt.lacks {
				if strings.Contains(text, bad) {
					t.Errorf("has %q:\n%s", bad, text)
				}
			}
			parser := expfmt.NewTextParser(model.LegacyValidation)
			if _, err := parser.TextToMetricFamilies(strings.NewReader(text)); err != nil {
				t.Errorf("the page cannot be parsed: %v\n%s", err, text)
			}
		})
	}
}

func TestCopyIsBoundedAtLines(t *testing.T) {
	var out bytes.Buffer
	buffered := bufio.NewWriter(&out)
	same := func(line []byte) []byte { return line }
	err := copyLines(buffered, strings.NewReader(strings.Repeat("0123456789\n", 10)), 35, same)
	if !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
	_ = buffered.Flush()
	if got := out.String(); got != strings.Repeat("0123456789\n", 3) {
		t.Errorf("got %q, want three whole lines", got)
	}
	if err := copyLines(buffered, strings.NewReader(strings.Repeat("x", maxLine+1)), 10*maxLine, same); err == nil {
		t.Error("a line without end was accepted")
	}
}

func TestParseApp(t *testing.T) {
	full, err := App{Port: "8080", Path: "stats?all=1", Scheme: "https"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"":                        "",
		"{}":                      "http://10.0.0.1:80/metrics",
		full:                      "https://10.0.0.1:8080/stats?all=1",
		`{"port":"0"}`:            "error",
		`{"port":"http"}`:         "error",
		`{"scheme":"ftp"}`:        "error",
		`{"path":"//evil/x"}`:     "error",
		`{"path":"http://evil/"}`: "error",
		`{`:                       "error",
	} {
		got, err := ParseApp(value, "10.0.0.1")
		if (err != nil) != (want == "error") || err == nil && got != want {
			t.Errorf("%s: %q, %v; want %q", value, got, err, want)
		}
	}
	if got, err := ParseApp("{}", "fd00::1"); err != nil || got != "http://[fd00::1]:80/metrics" {
		t.Errorf("%q %v", got, err)
	}
}

func TestScrapeTimeout(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": defaultTimeout, "x": defaultTimeout, "-1": defaultTimeout, "1e9": defaultTimeout, "NaN": defaultTimeout,
		"5": 4500 * time.Millisecond, "0.1": timeoutMargin,
	} {
		if got := scrapeTimeout(http.Header{"X-Prometheus-Scrape-Timeout-Seconds": {value}}); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
