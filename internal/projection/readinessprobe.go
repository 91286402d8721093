// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// What a probe does that does not say: the numbers of Kubernetes.
const (
	probeTimeout   = time.Second
	probePeriod    = 10 * time.Second
	probeSuccesses = 1
	probeFailures  = 3
)

// Bounds of a probe.
const (
	maxProbeSeconds = 24 * 60 * 60
	maxProbeCount   = 1000
	maxProbeHeaders = 100
	maxProbeWords   = 100
	maxProbeBytes   = 16 << 10
)

// probe projects how the workload's health is found out; ok is false when that cannot
// be done as it is said.
func probe(n *notes, at path, in *networking.ReadinessProbe) (out *ir.Probe, ok bool) {
	if in == nil {
		return nil, true
	}
	before := n.errors()
	out = &ir.Probe{
		InitialDelay: probeSeconds(n, at.field("initialDelaySeconds"), in.InitialDelaySeconds, 0),
		Timeout:      probeSeconds(n, at.field("timeoutSeconds"), in.TimeoutSeconds, probeTimeout),
		Period:       probeSeconds(n, at.field("periodSeconds"), in.PeriodSeconds, probePeriod),
		Successes:    probeCount(n, at.field("successThreshold"), in.SuccessThreshold, probeSuccesses),
		Failures:     probeCount(n, at.field("failureThreshold"), in.FailureThreshold, probeFailures),
	}
	switch m := in.HealthCheckMethod.(type) {
	case *networking.ReadinessProbe_HttpGet:
		out.HTTP = httpProbe(n, at.field("httpGet"), m.HttpGet)
	case *networking.ReadinessProbe_TcpSocket:
		here := at.field("tcpSocket")
		out.TCP = &ir.TCPProbe{
			Host: probeHost(n, here.field("host"), m.TcpSocket.GetHost()), Port: probePort(n, here.field("port"), m.TcpSocket.GetPort()),
		}
	case *networking.ReadinessProbe_Grpc:
		here := at.field("grpc")
		out.GRPC = &ir.GRPCProbe{Port: probePort(n, here.field("port"), m.Grpc.GetPort()), Service: m.Grpc.GetService()}
		if len(out.GRPC.Service) > maxProbeBytes {
			n.invalid(here.field("service"), "is longer than %d bytes", maxProbeBytes)
		}
	case *networking.ReadinessProbe_Exec:
		out.Command = probeCommand(n, at.field("exec").field("command"), m.Exec.GetCommand())
	default:
		n.invalid(at, "needs one of httpGet, tcpSocket, grpc and exec")
	}
	return out, n.errors() == before
}

func probeSeconds(n *notes, at path, in int32, otherwise time.Duration) time.Duration {
	if in < 0 || in > maxProbeSeconds {
		n.invalid(at, "%d must be from 0 to %d", in, maxProbeSeconds)
	}
	if in == 0 {
		return otherwise
	}
	return time.Duration(in) * time.Second
}

func probeCount(n *notes, at path, in int32, otherwise uint32) uint32 {
	if in < 0 || in > maxProbeCount {
		n.invalid(at, "%d must be from 0 to %d", in, maxProbeCount)
		return otherwise
	}
	if in == 0 {
		return otherwise
	}
	return uint32(in)
}

func probePort(n *notes, at path, in uint32) uint16 {
	port, ok := portNumber(int64(in))
	if !ok {
		n.invalid(at, "port %d must be from 1 to 65535", in)
	}
	return port
}

func probeHost(n *notes, at path, in string) string {
	if in == "" {
		return ""
	}
	if _, err := netip.ParseAddr(in); err != nil {
		if err := checkName(in); err != nil {
			n.invalid(at, "host %v", err)
		}
	}
	return in
}

func httpProbe(n *notes, at path, in *networking.HTTPHealthCheckConfig) *ir.HTTPProbe {
	out := &ir.HTTPProbe{
		Host: probeHost(n, at.field("host"), in.GetHost()), Port: probePort(n, at.field("port"), in.GetPort()), Path: in.GetPath(),
	}
	switch strings.ToUpper(in.GetScheme()) {
	case "", "HTTP":
	case "HTTPS":
		out.TLS = true
	default:
		n.invalid(at.field("scheme"), "%q is neither HTTP nor HTTPS", in.GetScheme())
	}
	if _, err := url.Parse(out.Path); err != nil || len(out.Path) > maxProbeBytes {
		n.invalid(at.field("path"), "is no path of a URL of at most %d bytes", maxProbeBytes)
	}
	headers := in.GetHttpHeaders()
	if len(headers) > maxProbeHeaders {
		n.invalid(at.field("httpHeaders"), "has more than %d entries", maxProbeHeaders)
		headers = nil
	}
	for i, h := range headers {
		here := at.field("httpHeaders").index(i)
		if err := checkHeader(h.GetName()); err != nil {
			n.invalid(here.field("name"), "%v", err)
		}
		if strings.ContainsAny(h.GetValue(), "\r\n\x00") || len(h.GetValue()) > maxProbeBytes {
			n.invalid(here.field("value"), "must be one line of at most %d bytes", maxProbeBytes)
		}
		out.Headers = append(out.Headers, ir.HeaderValue{Name: h.GetName(), Value: h.GetValue()})
	}
	return out
}

func probeCommand(n *notes, at path, in []string) []string {
	total := 0
	for _, word := range in {
		total += len(word)
	}
	switch {
	case len(in) == 0 || in[0] == "":
		n.invalid(at, "must name a program")
	case len(in) > maxProbeWords || total > maxProbeBytes:
		n.invalid(at, "has more than %d words or %d bytes", maxProbeWords, maxProbeBytes)
	}
	return in
}
