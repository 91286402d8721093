// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedDestinationRule = serves(append(
	[]string{"host", "exportTo", "workloadSelector", "subsets[].name", "subsets[].labels", "trafficPolicy.tunnel"},
	servedSettings("trafficPolicy", "trafficPolicy.portLevelSettings[]",
		"subsets[].trafficPolicy", "subsets[].trafficPolicy.portLevelSettings[]")...,
)...)

// servedSettings is the fields that traffic policies of all levels share.
func servedSettings(levels ...string) []string {
	var out []string
	for _, level := range levels {
		for _, field := range []string{
			"loadBalancer.simple",
			"loadBalancer.localityLbSetting",
			"loadBalancer.zoneAwareLbSetting",
			"loadBalancer.warmup",
			"loadBalancer.warmupDurationSecs",
			"loadBalancer.consistentHash.ringHash",
			"loadBalancer.consistentHash.maglev",
			"loadBalancer.consistentHash.minimumRingSize",
			"loadBalancer.consistentHash.httpHeaderName",
			"loadBalancer.consistentHash.httpCookie.name",
			"loadBalancer.consistentHash.httpCookie.path",
			"loadBalancer.consistentHash.httpCookie.ttl",
			"loadBalancer.consistentHash.useSourceIp",
			"loadBalancer.consistentHash.httpQueryParameterName",
			"connectionPool.tcp.maxConnections",
			"connectionPool.tcp.connectTimeout",
			"connectionPool.tcp.tcpKeepalive",
			"connectionPool.tcp.maxConnectionDuration",
			"connectionPool.tcp.idleTimeout",
			"connectionPool.http.http1MaxPendingRequests",
			"connectionPool.http.http2MaxRequests",
			"connectionPool.http.maxRequestsPerConnection",
			"connectionPool.http.maxRetries",
			"connectionPool.http.idleTimeout",
			"connectionPool.http.h2UpgradePolicy",
			"connectionPool.http.useClientProtocol",
			"connectionPool.http.maxConcurrentStreams",
			"connectionPool.http.http2KeepAlive",
			"outlierDetection.splitExternalLocalOriginErrors",
			"outlierDetection.consecutiveLocalOriginFailures",
			"outlierDetection.consecutiveGatewayErrors",
			"outlierDetection.consecutive5xxErrors",
			"outlierDetection.interval",
			"outlierDetection.baseEjectionTime",
			"outlierDetection.maxEjectionPercent",
			"outlierDetection.minHealthPercent",
			"outlierDetection.outlierDetectionHttpErrorCodes",
			"tls.mode", "tls.clientCertificate", "tls.privateKey", "tls.caCertificates",
			"tls.subjectAltNames", "tls.sni", "tls.insecureSkipVerify", "tls.credentialName", "tls.caCrl",
		} {
			out = append(out, level+"."+field)
		}
		if strings.HasSuffix(level, "portLevelSettings[]") {
			out = append(out, level+".port")
		} else {
			out = append(out, level+".proxyProtocol", level+".retryBudget")
		}
	}
	return out
}

// DestinationRule projects a networking.istio.io DestinationRule of any version. The
// row is nil when nothing of the object can be served. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/.
func (s Scope) DestinationRule(meta *metav1.ObjectMeta, text []byte) (*ir.TrafficPolicy, []ir.Problem, error) {
	in := &networking.DestinationRule{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	d := &destinationRule{notes: notes{origin: origin(KindDestinationRule, meta)}}
	d.findGaps(in)
	out := &ir.TrafficPolicy{
		Origin:   d.notes.origin,
		Created:  created(meta),
		Host:     s.resolve(in.Host, meta.Namespace),
		ExportTo: exportTo(&d.notes, spec.field("exportTo"), meta.Namespace, orDefault(in.ExportTo, s.exports().Policies)),
	}
	selects := d.selector(out, spec.field("workloadSelector"), in)
	err := checkHost(in.Host)
	if err != nil {
		d.notes.invalid(spec.field("host"), "host %v", err)
	}
	if p := in.TrafficPolicy; p != nil {
		at := spec.field("trafficPolicy")
		d.guarded = p.OutlierDetection != nil
		out.Settings = d.policySettings(at, p)
		out.Settings.Tunnel = d.tunnel(at.field("tunnel"), p.Tunnel)
		out.Ports = d.ports(at.field("portLevelSettings"), p.PortLevelSettings)
	}
	out.Subsets = d.subsets(spec.field("subsets"), in.Subsets)
	if err != nil || !selects {
		out = nil
	}
	return out, d.notes.sorted(), nil
}

// destinationRule is one projection under way.
type destinationRule struct {
	notes   notes
	guarded bool // the top level has outlier detection
}

// selector projects which workloads of its own namespace a rule is for. A selector
// in error selects nobody: the rule must not hold for more clients than was meant.
func (d *destinationRule) selector(out *ir.TrafficPolicy, at path, in *networking.DestinationRule) (ok bool) {
	if in.WorkloadSelector == nil {
		return true
	}
	out.Selector = ir.NewLabels(in.WorkloadSelector.MatchLabels)
	if len(out.Selector) == 0 || out.Selector[0].Key == "" {
		d.notes.invalid(at.field("matchLabels"), "needs at least one label, each with a key; nothing of the object is in effect")
		return false
	}
	if out.ExportTo.All && len(in.ExportTo) > 0 || slices.ContainsFunc(out.ExportTo.Namespaces, func(ns string) bool { return ns != d.notes.origin.Namespace }) {
		d.notes.warn(ReasonUnreachable, spec.field("exportTo"), "with a workloadSelector the object is for workloads of its own namespace only")
	}
	out.ExportTo = ir.Visibility{Namespaces: []string{d.notes.origin.Namespace}}
	return true
}

// findGaps reports what is not served.
func (d *destinationRule) findGaps(in *networking.DestinationRule) {
	for _, g := range servedDestinationRule.gaps(in.ProtoReflect()) {
		d.notes.ignored(g.at)
	}
}

func (d *destinationRule) subsets(at path, in []*networking.Subset) []ir.Subset {
	var out []ir.Subset
	for i, s := range in {
		here := at.index(i)
		name := s.GetName()
		if err := checkLabel(name); err != nil {
			d.notes.invalid(here.field("name"), "subset name %v", err)
			continue
		}
		if slices.ContainsFunc(out, func(o ir.Subset) bool { return o.Name == name }) {
			d.notes.invalid(here.field("name"), "subset %s is defined twice; the first is in effect", name)
			continue
		}
		subset := ir.Subset{Name: name, Labels: ir.NewLabels(s.Labels)}
		for _, l := range subset.Labels {
			if l.Key == "" {
				d.notes.invalid(here.field("labels"), "a label must have a key")
			}
		}
		if p := s.TrafficPolicy; p != nil {
			policy := here.field("trafficPolicy")
			settings := d.policySettings(policy, p)
			subset.Settings = &settings
			subset.Ports = d.ports(policy.field("portLevelSettings"), p.PortLevelSettings)
		}
		out = append(out, subset)
	}
	slices.SortFunc(out, func(a, b ir.Subset) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (d *destinationRule) ports(at path, in []*networking.TrafficPolicy_PortTrafficPolicy) []ir.PortPolicy {
	var out []ir.PortPolicy
	for i, p := range in {
		here := at.index(i)
		number := p.GetPort().GetNumber()
		port, ok := portNumber(int64(number))
		if !ok {
			d.notes.invalid(here.field("port").field("number"), "port %d must be from 1 to 65535", number)
			continue
		}
		if slices.ContainsFunc(out, func(o ir.PortPolicy) bool { return o.Port == port }) {
			d.notes.invalid(here.field("port").field("number"), "port %d has settings twice; the first are in effect", port)
			continue
		}
		settings := d.settings(here, p)
		d.unguarded(here, settings.LoadBalancer.Near, settings.Outliers != nil)
		out = append(out, ir.PortPolicy{Port: port, Settings: settings})
	}
	slices.SortFunc(out, func(a, b ir.PortPolicy) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// levelSettings is what traffic policies of all levels have.
type levelSettings interface {
	GetLoadBalancer() *networking.LoadBalancerSettings
	GetTls() *networking.ClientTLSSettings
	GetConnectionPool() *networking.ConnectionPoolSettings
	GetOutlierDetection() *networking.OutlierDetection
}

func (d *destinationRule) settings(at path, in levelSettings) ir.PolicySettings {
	return ir.PolicySettings{
		LoadBalancer: d.loadBalancer(at.field("loadBalancer"), in.GetLoadBalancer()),
		TLS:          d.clientTLS(at.field("tls"), in.GetTls()),
		Pool:         d.connectionPool(at.field("connectionPool"), in.GetConnectionPool()),
		Outliers:     d.outlierDetection(at.field("outlierDetection"), in.GetOutlierDetection()),
	}
}

// policySettings is the settings of a level that is not a port's.
func (d *destinationRule) policySettings(at path, in *networking.TrafficPolicy) ir.PolicySettings {
	out := d.settings(at, in)
	d.unguarded(at, out.LoadBalancer.Near, out.Outliers != nil || d.guarded)
	out.RetryBudget = d.retryBudget(at.field("retryBudget"), in.RetryBudget)
	if in.RetryBudget != nil && in.GetConnectionPool().GetHttp().GetMaxRetries() > 0 {
		d.notes.warn(ReasonUnreachable, at.field("connectionPool").field("http").field("maxRetries"), "retryBudget holds in its place")
	}
	if p := in.ProxyProtocol; p != nil {
		switch p.Version {
		case networking.TrafficPolicy_ProxyProtocol_V1:
			out.ProxyProtocol = ir.ProxyProtocolV1
		case networking.TrafficPolicy_ProxyProtocol_V2:
			out.ProxyProtocol = ir.ProxyProtocolV2
		default:
			d.notes.invalid(at.field("proxyProtocol").field("version"), "%d is no version of the PROXY protocol", p.Version)
		}
	}
	return out
}

// retryBudget projects the limit of concurrent retries; none where it is in error. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#TrafficPolicy-RetryBudget.
func (d *destinationRule) retryBudget(at path, in *networking.TrafficPolicy_RetryBudget) *ir.RetryBudget {
	if in == nil {
		return nil
	}
	before := d.notes.errors()
	out := &ir.RetryBudget{Percent: 20, MinConcurrency: 3}
	if in.Percent != nil {
		out.Percent = d.share(at.field("percent"), in.Percent.Value)
	}
	if in.MinRetryConcurrency > 0 {
		out.MinConcurrency = in.MinRetryConcurrency
	}
	if i := in.BudgetInterval; i != nil && (i.CheckValid() != nil || i.AsDuration() != 0) { // 0s is the default
		out.Interval = d.timeout(at.field("budgetInterval"), i)
	}
	if d.notes.errors() > before {
		return nil
	}
	return out
}
