// SPDX-License-Identifier: Apache-2.0

// Package machinefile writes the file by which machines of a WorkloadGroup join the mesh.
package machinefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/agent/health"
	"github.com/meshwright/meshwright/internal/agent/machine"
	"github.com/meshwright/meshwright/internal/agent/probe"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

// Mesh is what machines are told of the mesh.
type Mesh struct {
	DiscoveryAddress string // HOST:PORT
	TrustDomain      string
	ClusterID        string
	ClusterDomain    string
}

// Make writes the file for the machines of a group, given as the manifest of a WorkloadGroup.
func Make(manifest []byte, mesh Mesh) ([]byte, error) {
	var in struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              json.RawMessage `json:"spec"`
	}
	if err := yaml.Unmarshal(manifest, &in); err != nil {
		return nil, fmt.Errorf("read the WorkloadGroup: %w", err)
	}
	if in.Kind != projection.KindWorkloadGroup || in.Name == "" || in.Namespace == "" {
		return nil, errors.New("this is not a WorkloadGroup with a name and a namespace")
	}
	group, problems, err := (projection.Scope{Cluster: mesh.ClusterID, Domain: mesh.ClusterDomain}).WorkloadGroup(&in.ObjectMeta, in.Spec)
	if err != nil {
		return nil, fmt.Errorf("read the WorkloadGroup: %w", err)
	}
	for _, p := range problems {
		if p.Severity == ir.Error {
			err = errors.Join(err, errors.New(p.String()))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the WorkloadGroup is not valid: %w", err)
	}
	out, err := yaml.Marshal(of(group, mesh))
	if err != nil {
		return nil, fmt.Errorf("write the file: %w", err)
	}
	return out, nil
}

func of(g *ir.WorkloadGroup, mesh Mesh) machine.File {
	out := machine.File{
		DiscoveryAddress: mesh.DiscoveryAddress, TrustDomain: mesh.TrustDomain, ClusterID: mesh.ClusterID, ClusterDomain: mesh.ClusterDomain,
		Network: g.Template.Network, Group: g.Origin.Name, Namespace: g.Origin.Namespace, ServiceAccount: g.Template.ServiceAccount,
	}
	for _, l := range g.Template.Labels {
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[l.Key] = l.Value
	}
	if g.Probe != nil {
		out.Probe = probeOf(g.Probe)
	}
	return out
}

func probeOf(p *ir.Probe) *health.Probe {
	out := &health.Probe{
		InitialDelaySeconds: seconds(p.InitialDelay), PeriodSeconds: seconds(p.Period),
		SuccessThreshold: int32(p.Successes), FailureThreshold: int32(p.Failures),
		Probe: probe.Probe{TimeoutSeconds: seconds(p.Timeout)},
	}
	switch {
	case p.HTTP != nil:
		get := &probe.HTTPGet{Host: p.HTTP.Host, Path: p.HTTP.Path, Port: int32(p.HTTP.Port)}
		if p.HTTP.TLS {
			get.Scheme = "HTTPS"
		}
		for _, h := range p.HTTP.Headers {
			get.Headers = append(get.Headers, probe.Header{Name: h.Name, Value: h.Value})
		}
		out.HTTPGet = get
	case p.TCP != nil:
		out.TCPSocket = &probe.TCPSocket{Host: p.TCP.Host, Port: int32(p.TCP.Port)}
		if p.TCP.Host == "" {
			out.TCPSocket.Host = "127.0.0.1" // that is where the API's own default is
		}
	case p.GRPC != nil:
		out.GRPC = &probe.GRPC{Port: int32(p.GRPC.Port), Service: p.GRPC.Service}
	default:
		out.Exec = &probe.Exec{Command: p.Command}
	}
	return out
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }
