// SPDX-License-Identifier: Apache-2.0

// Package metric serves one Prometheus page for a pod: the proxy's metrics, the application's and the agent's.
package metric

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// AppEnv is the environment variable of the agent's container that holds an App as JSON. The injector writes it when it
// points the pod's prometheus.io annotations at the agent, so that the application's own page is not lost.
const AppEnv = "APP_METRICS"

// App says where the application exposes metrics: the values of its original prometheus.io/{port,path,scheme} annotations.
type App struct {
	// Port is a decimal port number; empty means 80, as scrape configurations that read the annotation do.
	Port string `json:"port,omitempty"`
	// Path defaults to /metrics.
	Path string `json:"path,omitempty"`
	// Scheme is http (also when empty) or https; the certificate is not verified.
	Scheme string `json:"scheme,omitempty"`
}

// Encode renders the value of AppEnv.
func (a App) Encode() (string, error) {
	out, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("encode the application's metrics address: %w", err)
	}
	return string(out), nil
}

// ParseApp reads the value of AppEnv and gives the URL of the application's page at host, or "" when the value is empty.
func ParseApp(value, host string) (string, error) {
	if value == "" {
		return "", nil
	}
	var a App
	if err := json.Unmarshal([]byte(value), &a); err != nil {
		return "", fmt.Errorf("%s is not valid JSON: %w", AppEnv, err)
	}
	if a.Port == "" {
		a.Port = "80"
	}
	if port, err := strconv.ParseUint(a.Port, 10, 16); err != nil || port == 0 {
		return "", fmt.Errorf("%s: port %q is not between 1 and 65535", AppEnv, a.Port)
	}
	if a.Path == "" {
		a.Path = "/metrics"
	}
	page, err := url.Parse(a.Path)
	if err != nil || page.Host != "" || page.Scheme != "" {
		return "", fmt.Errorf("%s: path %q is not a URL path", AppEnv, a.Path)
	}
	if !strings.HasPrefix(page.Path, "/") {
		page.Path = "/" + page.Path
	}
	switch strings.ToLower(a.Scheme) {
	case "", "http":
		page.Scheme = "http"
	case "https":
		page.Scheme = "https"
	default:
		return "", fmt.Errorf("%s: scheme %q is neither http nor https", AppEnv, a.Scheme)
	}
	page.Host = net.JoinHostPort(host, a.Port)
	return page.String(), nil
}
