// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

const (
	// maxProxyBytes and maxAppBytes bound what one scrape takes from each; further lines are dropped.
	maxProxyBytes = 256 << 20
	maxAppBytes   = 64 << 20
	// maxLine bounds one line.
	maxLine = 1 << 20
	// defaultTimeout is Prometheus' own default scrape timeout.
	defaultTimeout = 10 * time.Second
	// timeoutMargin is kept back of the scraper's timeout, so that it gets what there is instead of nothing.
	timeoutMargin = 500 * time.Millisecond
	// contentType is the text format that every scraper understands
	// (https://prometheus.io/docs/instrumenting/exposition_formats/).
	contentType = "text/plain; version=0.0.4; charset=utf-8"
)

const msgScrape = "part of the metrics page is missing"

// errTooLarge means that a source was cut.
var errTooLarge = errors.New("page is too large, the rest was dropped")

// Proxy opens Envoy's Prometheus page.
type Proxy interface {
	Metrics(ctx context.Context) (io.ReadCloser, error)
}

// Page serves the metrics of the whole pod. A source that fails leaves the others alone.
type Page struct {
	proxy    Proxy
	app      string
	client   *http.Client
	registry *prometheus.Registry
	failures *prometheus.CounterVec
	log      logr.Logger
}

// NewPage makes the page. app is the URL of the application's page, or empty. local, if not nil, is the source address for
// it: see probe.NewChecker.
func NewPage(proxy Proxy, app string, local net.IP, registry *prometheus.Registry, log logr.Logger) *Page {
	dialer := &net.Dialer{}
	if local != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: local}
	}
	p := &Page{
		proxy: proxy, app: app, registry: registry, log: log,
		client: &http.Client{Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the application is in this pod
		}},
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshwright_agent_scrape_failures_total",
			Help: "Scrapes that lacked a part of the page, by the part that failed.",
		}, []string{"source"}),
	}
	registry.MustRegister(p.failures)
	return p
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTimeout(r.Header))
	defer cancel()
	w.Header().Set("Content-Type", contentType)
	w.Header().Add("Vary", "Accept-Encoding")
	var out io.Writer = w
	if acceptsGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		zipped, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer func() { _ = zipped.Close() }() // whoever scrapes has gone
		out = zipped
	}
	buffered := bufio.NewWriterSize(out, 64<<10)
	defer func() { _ = buffered.Flush() }() // whoever scrapes has gone
	p.note("envoy", p.writeProxy(ctx, buffered))
	if p.app != "" {
		p.note("application", p.writeApp(ctx, buffered))
	}
	p.note("agent", p.writeOwn(buffered))
}

func (p *Page) note(source string, err error) {
	if err != nil {
		p.failures.WithLabelValues(source).Inc()
		p.log.V(1).Info(msgScrape, "source", source, "reason", err.Error())
	}
}

func (p *Page) writeProxy(ctx context.Context, out *bufio.Writer) error {
	body, err := p.proxy.Metrics(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	return copyLines(out, body, maxProxyBytes, rename)
}

func (p *Page) writeApp(ctx context.Context, out *bufio.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.app, nil)
	if err != nil {
		return err
	}
	// The text format alone is asked for: pages of different formats cannot be joined.
	req.Header.Set("Accept", "text/plain;version=0.0.4;q=1,*/*;q=0.1")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("application answered %d", resp.StatusCode)
	}
	change := func(line []byte) []byte { return line }
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && media == "application/openmetrics-text" {
		change = fromOpenMetrics
	} else if err == nil && !strings.HasPrefix(media, "text/") {
		return fmt.Errorf("application answered with %s, which cannot be joined to a text page", media)
	}
	return copyLines(out, resp.Body, maxAppBytes, change)
}

func (p *Page) writeOwn(out io.Writer) error {
	families, err := p.registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
			return err
		}
	}
	return nil
}

// fromOpenMetrics turns a line of the OpenMetrics format into one that a reader of the text format accepts: the end marker
// and exemplars have to go (https://prometheus.io/docs/specs/om/open_metrics_spec/).
func fromOpenMetrics(line []byte) []byte {
	if bytes.HasPrefix(line, []byte("# EOF")) {
		return nil
	}
	if !bytes.HasPrefix(line, []byte("#")) {
		if i := bytes.LastIndex(line, []byte(" # {")); i >= 0 {
			return line[:i]
		}
	}
	return line
}

// copyLines writes whole lines until the source ends or the limit is reached. A line that change makes nil is left out.
func copyLines(out *bufio.Writer, in io.Reader, limit int64, change func([]byte) []byte) error {
	lines := bufio.NewScanner(io.LimitReader(in, limit+1))
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	var read int64
	for lines.Scan() {
		read += int64(len(lines.Bytes())) + 1
		if read > limit {
			return errTooLarge
		}
		line := change(bytes.TrimSuffix(lines.Bytes(), []byte("\r")))
		if line == nil {
			continue
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
		if err := out.WriteByte('\n'); err != nil {
			return err
		}
	}
	return lines.Err()
}

func acceptsGzip(h http.Header) bool {
	for field := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		coding, quality, _ := strings.Cut(field, ";")
		if strings.TrimSpace(coding) == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

func scrapeTimeout(h http.Header) time.Duration {
	seconds, err := strconv.ParseFloat(h.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	// Not a number compares false with everything, so it must not be the comparison that lets a value in.
	if isUsable := seconds > 0 && seconds <= 300; err != nil || !isUsable {
		return defaultTimeout
	}
	return max(time.Duration(seconds*float64(time.Second))-timeoutMargin, timeoutMargin)
}
