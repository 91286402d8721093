// SPDX-License-Identifier: Apache-2.0

// Package machine is the file that tells the agent of a machine outside of Kubernetes what the downward API tells that of
// a pod.
package machine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/agent/health"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/agent/probe"
)

// maxBytes bounds a file.
const maxBytes = 1 << 20

// File is what holds for all machines of a WorkloadGroup.
type File struct {
	// DiscoveryAddress is HOST:PORT of the control plane, whose certificate has HOST.
	DiscoveryAddress string `json:"discoveryAddress"`
	TrustDomain      string `json:"trustDomain"`
	ClusterID        string `json:"clusterID"`
	ClusterDomain    string `json:"clusterDomain"`
	Network          string `json:"network,omitempty"`

	Group          string            `json:"group"`
	Namespace      string            `json:"namespace"`
	ServiceAccount string            `json:"serviceAccount"`
	Labels         map[string]string `json:"labels,omitempty"`
	// Probe tells whether the workload is healthy; without one it is as long as its proxy is connected.
	Probe *health.Probe `json:"probe,omitempty"`
}

// Read reads a file.
func Read(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, fmt.Errorf("read the machine's settings: %w", err)
	}
	if info.Size() > maxBytes {
		return File{}, fmt.Errorf("%s is larger than %d bytes", path, maxBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read the machine's settings: %w", err)
	}
	f, err := Parse(text)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse reads the text of a file. A field that is not known is an error: it may be one that was mistyped.
func Parse(text []byte) (File, error) {
	var f File
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return File{}, fmt.Errorf("cannot be read: %w", err)
	}
	return f, f.validate()
}

func (f *File) validate() error {
	for _, required := range []struct{ name, value string }{
		{"discoveryAddress", f.DiscoveryAddress},
		{"trustDomain", f.TrustDomain},
		{"clusterID", f.ClusterID},
		{"clusterDomain", f.ClusterDomain},
		{"group", f.Group},
		{"namespace", f.Namespace},
		{"serviceAccount", f.ServiceAccount},
	} {
		if required.value == "" {
			return fmt.Errorf("%s is not set", required.name)
		}
	}
	if _, _, err := net.SplitHostPort(f.DiscoveryAddress); err != nil {
		return fmt.Errorf("discoveryAddress %q is not HOST:PORT", f.DiscoveryAddress)
	}
	if f.Probe != nil {
		if err := validProbe(&f.Probe.Probe); err != nil {
			return fmt.Errorf("probe: %w", err)
		}
	}
	return nil
}

func validProbe(p *probe.Probe) error {
	handlers, port := 0, int32(1)
	if p.HTTPGet != nil {
		handlers, port = handlers+1, p.HTTPGet.Port
		if _, err := url.Parse(p.HTTPGet.Path); err != nil {
			return errors.New("httpGet.path is no path of a URL")
		}
	}
	if p.TCPSocket != nil {
		handlers, port = handlers+1, p.TCPSocket.Port
	}
	if p.GRPC != nil {
		handlers, port = handlers+1, p.GRPC.Port
	}
	if p.Exec != nil {
		handlers++
		if len(p.Exec.Command) == 0 || p.Exec.Command[0] == "" {
			return errors.New("exec.command must name a program")
		}
	}
	if handlers != 1 {
		return fmt.Errorf("has %d of httpGet, tcpSocket, grpc and exec, needs one", handlers)
	}
	if port < 1 || port > 65535 {
		return fmt.Errorf("port %d is not between 1 and 65535", port)
	}
	return nil
}

// Pod is the machine in the terms of a pod. Its name is made of the group's and its address.
func (f *File) Pod(addr netip.Addr, version string) node.Pod {
	return node.Pod{
		Role: node.Sidecar, Name: f.Group + "-" + strings.ReplaceAll(addr.String(), ":", "-"), Namespace: f.Namespace,
		IPs: []netip.Addr{addr}, ServiceAccount: f.ServiceAccount, ClusterID: f.ClusterID, ClusterDomain: f.ClusterDomain,
		Network: f.Network, WorkloadName: f.Group, ProxyVersion: version, Labels: f.Labels, Probed: f.Probe != nil,
		Metadata: map[string]string{"AUTO_REGISTER_GROUP": f.Group},
	}
}

// Address is the address by which this machine is reached by others: that from which it calls the control plane.
func (f *File) Address() (netip.Addr, error) {
	conn, err := net.Dial("udp", f.DiscoveryAddress) // sends nothing
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the machine's own address: %w; give it by --address", err)
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the machine's own address: %w; give it by --address", err)
	}
	return local.Addr().Unmap().WithZone(""), nil
}
