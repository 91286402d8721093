// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshwright/meshwright/internal/agent/probe"
	"github.com/meshwright/meshwright/internal/ownport"
)

// rewriteProbes points the probes of one container at the agent. It adds the originals to set and the changes to the
// patch; path is the container's JSON pointer. Probes that run inside the container, that name another host, or whose
// port cannot be told stay as they are.
func rewriteProbes(c *corev1.Container, path string, set probe.Set, out *patch) {
	for _, p := range []struct {
		kind  probe.Kind
		field string
		probe *corev1.Probe
	}{
		{probe.Live, "livenessProbe", c.LivenessProbe},
		{probe.Ready, "readinessProbe", c.ReadinessProbe},
		{probe.Startup, "startupProbe", c.StartupProbe},
	} {
		if p.probe == nil {
			continue
		}
		original, handler, ok := portable(c, p.probe)
		if !ok {
			continue
		}
		set[probe.Key(c.Name, p.kind)] = original
		here := path + "/" + p.field
		get := map[string]any{"path": probe.Path(c.Name, p.kind), "port": ownport.Status, "scheme": "HTTP"}
		if handler == "httpGet" {
			out.replace(here+"/httpGet", get)
		} else {
			out.remove(here + "/" + handler)
			out.add(here+"/httpGet", get)
		}
	}
}

// portable translates a probe for the agent and names its handler's field.
func portable(c *corev1.Container, p *corev1.Probe) (probe.Probe, string, bool) {
	out := probe.Probe{TimeoutSeconds: p.TimeoutSeconds}
	switch {
	case p.HTTPGet != nil:
		port, ok := portNumber(c, p.HTTPGet.Port)
		if !ok || p.HTTPGet.Host != "" || isAgentPort(port) {
			return out, "", false
		}
		out.HTTPGet = &probe.HTTPGet{Path: p.HTTPGet.Path, Port: port, Scheme: string(p.HTTPGet.Scheme)}
		for _, h := range p.HTTPGet.HTTPHeaders {
			out.HTTPGet.Headers = append(out.HTTPGet.Headers, probe.Header{Name: h.Name, Value: h.Value})
		}
		return out, "httpGet", true
	case p.TCPSocket != nil:
		port, ok := portNumber(c, p.TCPSocket.Port)
		if !ok || p.TCPSocket.Host != "" || isAgentPort(port) {
			return out, "", false
		}
		out.TCPSocket = &probe.TCPSocket{Port: port}
		return out, "tcpSocket", true
	case p.GRPC != nil:
		out.GRPC = &probe.GRPC{Port: p.GRPC.Port}
		if p.GRPC.Service != nil {
			out.GRPC.Service = *p.GRPC.Service
		}
		return out, "grpc", true
	}
	return out, "", false
}

func isAgentPort(port int32) bool { return port == ownport.Status || port == ownport.Readiness }

// portNumber resolves a port as the kubelet does: a number, the name of one of the container's ports, or a number
// written as text.
func portNumber(c *corev1.Container, port intstr.IntOrString) (int32, bool) {
	if port.Type == intstr.Int {
		return port.IntVal, port.IntVal > 0 && port.IntVal <= 65535
	}
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return p.ContainerPort, true
		}
	}
	n, err := strconv.ParseUint(port.StrVal, 10, 16)
	return int32(n), err == nil && n > 0
}

// rewriteAll handles the containers of the application: regular ones and its own native sidecars. Plain init containers
// have no probes.
func rewriteAll(pod *corev1.Pod, out *patch) probe.Set {
	set := probe.Set{}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; !isOurs(c.Name) {
			rewriteProbes(c, fmt.Sprintf("/spec/containers/%d", i), set, out)
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; !isOurs(c.Name) {
			rewriteProbes(c, fmt.Sprintf("/spec/initContainers/%d", i), set, out)
		}
	}
	return set
}

func isOurs(container string) bool {
	return container == InitContainer || container == VerifyContainer || container == ProxyContainer
}
