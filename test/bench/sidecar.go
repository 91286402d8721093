// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/internal/agent/bootstrap"
	"github.com/meshwright/meshwright/internal/agent/node"
)

// sidecar measures the memory of a real Envoy that holds what sidecars of this
// control plane hold, and does nothing. It runs in a network of its own, so
// that its listeners are in nobody's way; discovery and admin are Unix sockets.
func (r *run) sidecar(ctx context.Context, work, dir string) error {
	binary, err := envoy.Path("")
	if err != nil {
		r.row(work, plain("not measured: %v", err))
		return nil
	}
	dir, err = os.MkdirTemp(dir, "sidecar-")
	if err != nil {
		return fmt.Errorf("directory for Envoy: %w", err)
	}
	discovery, admin, secrets := filepath.Join(dir, "ads"), filepath.Join(dir, "admin"), filepath.Join(dir, "sds")
	stop, err := serveSecrets(ctx, secrets)
	if err != nil {
		return err
	}
	defer stop()
	l, err := net.Listen("unix", discovery)
	if err != nil {
		return fmt.Errorf("listen for Envoy: %w", err)
	}
	defer l.Close()
	go forward(l, r.process.target)
	config, err := sidecarConfig(discovery, admin, secrets)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return fmt.Errorf("write Envoy's configuration: %w", err)
	}
	p := &process{cmd: exec.Command(binary, "-c", path, "-l", "warning", "--use-dynamic-base-id", "--concurrency", "2")}
	p.attributes = syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := p.start(filepath.Join(dir, "log")); err != nil {
		r.row(work, plain("not measured, which takes the right to make a network: %v", err))
		return nil
	}
	defer p.stop()
	clusters, allocated, err := idle(ctx, p, admin)
	if err != nil {
		return fmt.Errorf("%s: %w; Envoy's last words:\n%s", work, err, p.lastWords())
	}
	u, err := p.usage()
	if err != nil {
		return err
	}
	r.row(work, plain("%s clusters", clusters), plain("%.0f MB resident", float64(u.rss)/1e6), plain("%.1f MB allocated", allocated/1e6))
	return nil
}

// forward passes connections on until the listener is closed.
func forward(l net.Listener, target string) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", target)
		if err != nil {
			from.Close()
			continue
		}
		go func() {
			defer to.Close()
			_, _ = io.Copy(to, from) // Either end may close.
		}()
		go func() {
			defer from.Close()
			_, _ = io.Copy(from, to)
		}()
	}
}

// sidecarConfig is the agent's bootstrap, but for the sockets.
func sidecarConfig(discovery, admin, secrets string) ([]byte, error) {
	message, err := node.Pod{
		Role: node.Sidecar, Name: "idle-0", Namespace: namespaceOf(0), IPs: []netip.Addr{netip.MustParseAddr("10.251.0.1")},
		ServiceAccount: "default", NodeName: "node", ClusterID: "Kubernetes", ClusterDomain: "cluster.local",
	}.Message()
	if err != nil {
		return nil, err
	}
	b, err := bootstrap.Build(bootstrap.Config{Node: message, DiscoveryAddress: "discovery:15012", SecretSocket: secrets, MaxConnections: 10_000})
	if err != nil {
		return nil, err
	}
	b.Admin = &bootstrapv3.Admin{Address: pipe(admin)}
	for _, c := range b.StaticResources.Clusters {
		if c.Name != bootstrap.DiscoveryCluster {
			continue
		}
		c.TransportSocket, c.UpstreamConnectionOptions = nil, nil
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
			ClusterName: c.Name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: pipe(discovery)}},
			}}}},
		}
	}
	return bootstrap.JSON(b)
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path}}}
}

// idle waits until Envoy is live and its clusters have stayed as many for a
// while, and returns their number and the bytes that it has allocated.
func idle(ctx context.Context, p *process, admin string) (clusters string, allocated float64, err error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", admin)
	}}}
	get := func(path string) string {
		response, err := client.Get("http://admin" + path)
		if err != nil {
			return ""
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body) // What is missing of it is not found below.
		return string(text)
	}
	const settled = 5 // seconds
	last, same := "", 0
	for start := time.Now(); same < settled; {
		select {
		case <-p.exited:
			return "", 0, fmt.Errorf("it ended with %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return "", 0, ctx.Err()
		case <-time.After(time.Second):
		}
		if time.Since(start) > patience {
			return "", 0, fmt.Errorf("it is not idle after %v", patience)
		}
		now := get("/stats?filter=" + "^cluster_manager.active_clusters$|^listener_manager.total_listeners_active$")
		if same++; now != last || !strings.HasPrefix(get("/ready"), "LIVE") {
			last, same = now, 0
		}
	}
	_, clusters, _ = strings.Cut(last, "active_clusters: ")
	clusters, _, _ = strings.Cut(clusters, "\n")
	_, text, _ := strings.Cut(get("/memory"), `"allocated":`)
	if _, err := fmt.Sscanf(strings.TrimSpace(text), `"%f"`, &allocated); err != nil {
		return "", 0, fmt.Errorf("its memory: %w", err)
	}
	return clusters, allocated, nil
}
