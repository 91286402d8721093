// SPDX-License-Identifier: Apache-2.0

// Package node describes the proxy's pod to the control plane: the node id and metadata of every xDS request.
package node

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Role says what a proxy is for.
type Role string

// The two roles: beside one application, or a gateway of its own.
const (
	Sidecar Role = "sidecar"
	Router  Role = "router"
)

// ParseRole reads the value of the flag --role.
func ParseRole(value string) (Role, error) {
	switch role := Role(value); role {
	case Sidecar, Router:
		return role, nil
	}
	return "", fmt.Errorf("role %q is neither %s nor %s", value, Sidecar, Router)
}

// annotationScope chooses how much of the mesh the proxy is told.
const annotationScope = "meshwright.dev/discovery-scope"

// annotationCapture says how traffic comes to the proxy.
const annotationCapture = "sidecar.istio.io/interceptionMode"

// annotationSettings is the settings of the proxy, of which the control plane serves some.
const annotationSettings = "proxy.istio.io/config"

// maxInfoBytes bounds the downward API files; the API server bounds annotations to 256 KiB.
const maxInfoBytes = 1 << 20

// Pod is what the agent knows of its pod.
type Pod struct {
	Role           Role
	Name           string
	Namespace      string
	IPs            []netip.Addr
	ServiceAccount string
	NodeName       string
	ClusterID      string
	ClusterDomain  string
	Network        string
	WorkloadName   string
	ProxyVersion   string
	Labels         map[string]string
	Annotations    map[string]string
	// Probed is set when the agent tells of the workload's health.
	Probed bool
	// Metadata is what the user adds to the node's, see ReadMetadata.
	Metadata map[string]string
}

// Validate reports what is missing and which setting provides it.
func (p Pod) Validate() error {
	for _, required := range []struct{ value, source string }{
		{p.Name, "POD_NAME"},
		{p.Namespace, "POD_NAMESPACE"},
		{p.ServiceAccount, "SERVICE_ACCOUNT"},
		{p.ClusterID, "--cluster-id"},
		{p.ClusterDomain, "--cluster-domain"},
	} {
		if required.value == "" {
			return fmt.Errorf("%s is not set", required.source)
		}
	}
	if len(p.IPs) == 0 {
		return fmt.Errorf("POD_IP is not set")
	}
	return nil
}

// ID is the node id in the grammar that mesh tools know: ROLE~IP~POD.NAMESPACE~NAMESPACE.svc.DOMAIN.
func (p Pod) ID() string {
	return strings.Join([]string{
		string(p.Role), p.IPs[0].String(), p.Name + "." + p.Namespace, p.Namespace + ".svc." + p.ClusterDomain,
	}, "~")
}

// Workload is the name of the pod's workload, or of the pod when nobody told.
func (p Pod) Workload() string {
	if p.WorkloadName != "" {
		return p.WorkloadName
	}
	return p.Name
}

// Identity is the SPIFFE id that the pod's certificate is expected to carry.
func (p Pod) Identity(trustDomain string) string {
	return "spiffe://" + trustDomain + "/ns/" + p.Namespace + "/sa/" + p.ServiceAccount
}

// Message is the xDS node. The locality is left to the control plane, which reads it from the Kubernetes Node.
func (p Pod) Message() (*corev3.Node, error) {
	labels := make(map[string]any, len(p.Labels))
	for name, value := range p.Labels {
		labels[name] = value
	}
	ips := make([]string, len(p.IPs))
	for i, ip := range p.IPs {
		ips[i] = ip.String()
	}
	fields := make(map[string]any, len(p.Metadata))
	for name, value := range p.Metadata {
		fields[name] = value
	}
	if scope := p.Annotations[annotationScope]; scope != "" {
		fields["DISCOVERY_SCOPE"] = scope
	}
	if mode := p.Annotations[annotationCapture]; mode != "" {
		fields["INTERCEPTION_MODE"] = mode
	}
	if p.Probed {
		fields["WORKLOAD_PROBED"] = "true"
	}
	if settings := p.Annotations[annotationSettings]; settings != "" {
		fields["PROXY_CONFIG"] = settings
	}
	maps.Copy(fields, map[string]any{
		"NAMESPACE":       p.Namespace,
		"LABELS":          labels,
		"CLUSTER_ID":      p.ClusterID,
		"SERVICE_ACCOUNT": p.ServiceAccount,
		"NETWORK":         p.Network,
		"WORKLOAD_NAME":   p.Workload(),
		"NODE_NAME":       p.NodeName,
		"INSTANCE_IPS":    strings.Join(ips, ","),
		"PROXY_VERSION":   p.ProxyVersion,
	})
	metadata, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, fmt.Errorf("node metadata: %w", err)
	}
	return &corev3.Node{Id: p.ID(), Cluster: p.Workload() + "." + p.Namespace, Metadata: metadata}, nil
}

// AgentMessage is the xDS node of the agent's own streams. They do not stand for the workload: it is connected as long
// as its proxy is.
func (p Pod) AgentMessage() (*corev3.Node, error) {
	message, err := p.Message()
	if err == nil {
		message.Metadata.Fields["STREAM"] = structpb.NewStringValue("agent")
	}
	return message, err
}

// metadataPrefix marks environment variables that users add to the node's metadata.
const metadataPrefix = "ISTIO_META_"

// Bounds of what users add.
const (
	maxMetadata      = 64
	maxMetadataValue = 2048
)

// ReadMetadata finds what users add to the node's metadata in an environment of NAME=VALUE strings: the control plane, and
// tools that read it, are told the rest of each name that starts with ISTIO_META_. What the agent itself says of the pod
// is stronger.
func ReadMetadata(environment []string) (map[string]string, error) {
	out := map[string]string{}
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		key, ok := strings.CutPrefix(name, metadataPrefix)
		if !ok || key == "" {
			continue
		}
		if len(value) > maxMetadataValue || !utf8.ValidString(entry) {
			return nil, fmt.Errorf("%s must be UTF-8 text of at most %d bytes", name, maxMetadataValue)
		}
		if out[key] = value; len(out) > maxMetadata {
			return nil, fmt.Errorf("there are more than %d variables that start with %s", maxMetadata, metadataPrefix)
		}
	}
	return out, nil
}

// ReadInfo reads the files labels and annotations of a downward API volume. Absent files are empty maps.
func ReadInfo(dir string) (labels, annotations map[string]string, err error) {
	if labels, err = readPairs(filepath.Join(dir, "labels")); err != nil {
		return nil, nil, err
	}
	if annotations, err = readPairs(filepath.Join(dir, "annotations")); err != nil {
		return nil, nil, err
	}
	return labels, annotations, nil
}

// readPairs reads lines of key="value" with the value quoted as by strconv.Quote, the format of
// https://kubernetes.io/docs/concepts/workloads/pods/downward-api/.
func readPairs(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pod information: %w", err)
	}
	defer file.Close()
	pairs := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(file, maxInfoBytes))
	lines.Buffer(nil, maxInfoBytes)
	for lines.Scan() {
		key, quoted, ok := strings.Cut(lines.Text(), "=")
		if !ok {
			continue
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("read pod information %s: value of %q is not quoted: %w", path, key, err)
		}
		pairs[key] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read pod information %s: %w", path, err)
	}
	return pairs, nil
}

// ParseIPs reads the pod's addresses: the list of all of them when it is set (POD_IPS), else the one (POD_IP).
func ParseIPs(list, one string) ([]netip.Addr, error) {
	if list == "" {
		list = one
	}
	var out []netip.Addr
	for field := range strings.SplitSeq(list, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		ip, err := netip.ParseAddr(field)
		if err != nil {
			return nil, fmt.Errorf("pod address %q: %w", field, err)
		}
		out = append(out, ip)
	}
	return out, nil
}
