// SPDX-License-Identifier: Apache-2.0

package env

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// proxyAdmin is where a proxy's own pages are, within its pod only.
const proxyAdmin = "http://127.0.0.1:15000"

// LogLines reads what a ready pod's proxy logged in the last minute and returns
// the lines that hold all of the words.
func (c *Cluster) LogLines(ctx context.Context, namespace, selector string, words ...string) ([]string, error) {
	pod, err := c.PodOf(ctx, namespace, selector)
	if err != nil {
		return nil, err
	}
	since := metav1.NewTime(time.Now().Add(-time.Minute))
	stream, err := c.Kube.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: "istio-proxy", SinceTime: &since}).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", pod.Name, err)
	}
	defer stream.Close()
	var out []string
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		all := true
		for _, w := range words {
			all = all && strings.Contains(lines.Text(), w)
		}
		if all {
			out = append(out, lines.Text())
		}
	}
	return out, lines.Err()
}

// ProxyPage reads a page of JSON that the proxy of a pod serves within it, by way
// of the echo client beside it, into what out points to.
func (c *Cluster) ProxyPage(ctx context.Context, namespace, selector, page string, out any) error {
	r, err := c.Call(ctx, namespace, selector, "echo", proxyAdmin+page)
	if err != nil {
		return err
	}
	if r.Failed() > 0 {
		return fmt.Errorf("%s of a proxy: %s", page, r)
	}
	if err := json.Unmarshal(r.Last, out); err != nil {
		return fmt.Errorf("decode %s of a proxy: %w", page, err)
	}
	return nil
}

// Stats reads counters and gauges of a pod's proxy whose names match the expression.
func (c *Cluster) Stats(ctx context.Context, namespace, selector, expression string) (map[string]float64, error) {
	var page struct {
		Stats []struct {
			Name  string   `json:"name"`
			Value *float64 `json:"value"`
		} `json:"stats"`
	}
	if err := c.ProxyPage(ctx, namespace, selector, "/stats?format=json&filter="+url.QueryEscape(expression), &page); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, s := range page.Stats {
		if s.Value != nil {
			out[s.Name] = *s.Value
		}
	}
	return out, nil
}
