// SPDX-License-Identifier: Apache-2.0

// Package probe carries the health probes of an application through its sidecar.
//
// The kubelet has no mesh certificate, so a probe sent straight to an application port would be refused where the mesh
// asks for mutual TLS. The injector therefore points each probe at the agent (port 15020) and hands the original over as
// JSON in an environment variable; the agent executes it from inside the pod and answers with its result.
package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Env is the environment variable of the agent's container that holds a Set as JSON.
const Env = "APP_PROBES"

// PathPrefix is where the agent serves probes: PathPrefix + "CONTAINER/KIND" (see Path).
const PathPrefix = "/app-health/"

// maxEnvBytes bounds what Parse accepts: a pod has few probes, and an environment variable of this size is a mistake.
const maxEnvBytes = 256 << 10

// Kind says which of a container's three probes is meant.
type Kind string

// The three probes of a container, in the spelling of the kubelet's own health paths.
const (
	Live    Kind = "livez"
	Ready   Kind = "readyz"
	Startup Kind = "startupz"
)

// Set maps Key(container, kind) to the original probe.
type Set map[string]Probe

// Probe is one original probe with exactly one handler set. Ports are numbers: named ports are resolved at injection,
// where the container's port list is known. Meaning as in
// https://kubernetes.io/docs/concepts/workloads/pods/probes/.
type Probe struct {
	HTTPGet   *HTTPGet   `json:"httpGet,omitempty"`
	TCPSocket *TCPSocket `json:"tcpSocket,omitempty"`
	GRPC      *GRPC      `json:"grpc,omitempty"`
	// Exec is for machines: the kubelet runs the commands of pods itself.
	Exec *Exec `json:"exec,omitempty"`
	// TimeoutSeconds bounds one execution; values below 1 mean 1, the default of Kubernetes.
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// HTTPGet succeeds on a status from 200 to 399. With scheme HTTPS the certificate is not verified, as in the kubelet.
type HTTPGet struct {
	// Host is called in place of the application's own address, if it is set.
	Host string `json:"host,omitempty"`
	// Path may carry a query; empty means "/".
	Path string `json:"path,omitempty"`
	Port int32  `json:"port"`
	// Scheme is HTTP (also when empty) or HTTPS.
	Scheme string `json:"scheme,omitempty"`
	// Headers are sent as given; a header named Host sets the request's host.
	Headers []Header `json:"headers,omitempty"`
}

// Header is one request header of an HTTP probe.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocket succeeds when a connection opens.
type TCPSocket struct {
	// Host is called in place of the application's own address, if it is set.
	Host string `json:"host,omitempty"`
	Port int32  `json:"port"`
}

// GRPC succeeds when grpc.health.v1 Check answers SERVING; the connection is plaintext.
type GRPC struct {
	Port    int32  `json:"port"`
	Service string `json:"service,omitempty"`
}

// Exec succeeds when a command ends with code 0.
type Exec struct {
	Command []string `json:"command"`
}

// Key is the Set key of one probe of one container.
func Key(container string, kind Kind) string {
	return container + "/" + string(kind)
}

// Path is the URL path at which the agent executes that probe.
func Path(container string, kind Kind) string {
	return PathPrefix + Key(container, kind)
}

// Encode renders the set for Env, with sorted keys, so that equal sets give equal pods.
func (s Set) Encode() (string, error) {
	out, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode application probes: %w", err)
	}
	return string(out), nil
}

// Parse reads the value of Env. An empty value is an empty set; a malformed probe is an error that names its key.
func Parse(value string) (Set, error) {
	if value == "" {
		return Set{}, nil
	}
	if len(value) > maxEnvBytes {
		return nil, fmt.Errorf("application probes are %d bytes, more than the %d allowed: check %s", len(value), maxEnvBytes, Env)
	}
	var set Set
	if err := json.Unmarshal([]byte(value), &set); err != nil {
		return nil, fmt.Errorf("application probes in %s are not valid JSON: %w", Env, err)
	}
	var errs []error
	for _, key := range sortedKeys(set) {
		if err := validate(key, set[key]); err != nil {
			errs = append(errs, fmt.Errorf("application probe %q: %w", key, err))
		}
	}
	return set, errors.Join(errs...)
}

func sortedKeys(set Set) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func validate(key string, p Probe) error {
	container, kind, ok := strings.Cut(key, "/")
	if !ok || container == "" || !slices.Contains([]Kind{Live, Ready, Startup}, Kind(kind)) {
		return fmt.Errorf("key must be CONTAINER/%s, CONTAINER/%s or CONTAINER/%s", Live, Ready, Startup)
	}
	handlers, port := 0, int32(0)
	if h := p.HTTPGet; h != nil {
		handlers, port = handlers+1, h.Port
		if h.Scheme != "" && !strings.EqualFold(h.Scheme, "HTTP") && !strings.EqualFold(h.Scheme, "HTTPS") {
			return fmt.Errorf("scheme %q is neither HTTP nor HTTPS", h.Scheme)
		}
		if _, err := url.Parse(h.Path); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	if p.TCPSocket != nil {
		handlers, port = handlers+1, p.TCPSocket.Port
	}
	if p.GRPC != nil {
		handlers, port = handlers+1, p.GRPC.Port
	}
	if handlers != 1 {
		return fmt.Errorf("has %d handlers, needs exactly one of httpGet, tcpSocket, grpc", handlers)
	}
	if port < 1 || port > 65535 {
		return fmt.Errorf("port %d is not between 1 and 65535", port)
	}
	return nil
}
