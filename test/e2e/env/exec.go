// SPDX-License-Identifier: Apache-2.0

package env

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
)

// Exec runs a command in a container and returns its standard output. The
// error carries the standard error.
func (c *Cluster) Exec(ctx context.Context, namespace, pod, container string, command ...string) (string, error) {
	req := c.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	spdy, err := remotecommand.NewSPDYExecutor(c.config, "POST", req.URL())
	if err != nil {
		return "", fmt.Errorf("prepare exec in %s/%s: %w", namespace, pod, err)
	}
	ws, err := remotecommand.NewWebSocketExecutor(c.config, "GET", req.URL().String())
	if err != nil {
		return "", fmt.Errorf("prepare exec in %s/%s: %w", namespace, pod, err)
	}
	executor, err := remotecommand.NewFallbackExecutor(ws, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return "", fmt.Errorf("prepare exec in %s/%s: %w", namespace, pod, err)
	}
	var out, problem bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &problem}); err != nil {
		return out.String(), fmt.Errorf("run %s in %s/%s: %w: %s", strings.Join(command, " "), namespace, pod, err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}

// Report is what the client of the echo image prints.
type Report struct {
	Requests int             `json:"requests"`
	Codes    map[string]int  `json:"codes"`
	Errors   map[string]int  `json:"errors"`
	Versions map[string]int  `json:"versions"`
	Hosts    map[string]int  `json:"hosts"`
	Latency  Latency         `json:"latencyMillis"`
	Failures []Failure       `json:"failures"`
	Last     json.RawMessage `json:"last"`
	LastText string          `json:"lastText"`
	// LastHeaders are those of the last answer.
	LastHeaders http.Header `json:"lastHeaders"`
}

// Latency holds percentiles in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Failure is one request without an answer, or with a status of 500 and above.
type Failure struct {
	At     time.Time `json:"at"`
	Code   int       `json:"code"`
	Error  string    `json:"error"`
	Text   string    `json:"text"`
	Millis float64   `json:"millis"`
}

// Echo is the body of the echo server's answer.
type Echo struct {
	Host    string              `json:"host"`
	Version string              `json:"version"`
	Proto   string              `json:"proto"`
	Method  string              `json:"method"`
	Path    string              `json:"path"`
	Query   string              `json:"query"`
	Asked   string              `json:"asked"`
	Remote  string              `json:"remote"`
	Proxied string              `json:"proxied"`
	Headers map[string][]string `json:"headers"`
	Attempt int                 `json:"attempt"`
	// ServerName and Client are of the TLS that the server ended, if any.
	ServerName string `json:"serverName"`
	Client     string `json:"client"`
}

// Failed counts requests that got no answer or a status other than 200.
func (r Report) Failed() int { return r.Requests - r.Codes["200"] }

// Echo decodes the last answer.
func (r Report) Echo() (Echo, error) {
	var e Echo
	if len(r.Last) == 0 {
		return e, fmt.Errorf("the last answer is no JSON: %q", r.LastText)
	}
	if err := json.Unmarshal(r.Last, &e); err != nil {
		return e, fmt.Errorf("decode the last answer: %w", err)
	}
	return e, nil
}

// String tells the counts and the first failures.
func (r Report) String() string {
	s := fmt.Sprintf("%d requests, codes %v, p50 %.1f ms, p99 %.1f ms", r.Requests, r.Codes, r.Latency.P50, r.Latency.P99)
	if len(r.Errors) > 0 {
		s += fmt.Sprintf(", errors %v", r.Errors)
	}
	for i, f := range r.Failures {
		if i == 5 {
			break
		}
		s += fmt.Sprintf("\n  %s code %d %s %s (%.0f ms)", f.At.Format("15:04:05.000"), f.Code, f.Error, strings.TrimSpace(f.Text), f.Millis)
	}
	return s
}

// ErrNoReport says that the client ended without its report.
var ErrNoReport = errors.New("the echo client printed no report")

// Call runs the echo client in a ready pod with the labels and returns its
// report. args are the URL and the client's flags.
func (c *Cluster) Call(ctx context.Context, namespace, selector, container string, args ...string) (Report, error) {
	var report Report
	pod, err := c.PodOf(ctx, namespace, selector)
	if err != nil {
		return report, err
	}
	command := append([]string{"/usr/local/bin/echo", "client"}, args...)
	out, err := c.Exec(ctx, namespace, pod.Name, container, command...)
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return report, fmt.Errorf("%w: %w: %q", ErrNoReport, err, out)
	}
	return report, nil
}
