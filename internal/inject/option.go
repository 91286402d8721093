// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/meshwright/meshwright/internal/agent/capture"
	"github.com/meshwright/meshwright/internal/ownport"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

// logLevels are Envoy's.
var logLevels = []string{"trace", "debug", "info", "warning", "error", "critical", "off"}

// annotationScope is not Istio's. The agent tells the control plane of it.
const annotationScope = "meshwright.dev/discovery-scope"

// scopes are how much of the mesh a proxy may be told.
var scopes = []string{"full", "on-demand"}

// Requests and limits of the proxy when the pod says nothing.
const (
	defaultCPU         = "50m"
	defaultMemory      = "64Mi"
	defaultCPULimit    = "2"
	defaultMemoryLimit = "1Gi"
	defaultLogLevel    = "warning"
)

// options is what one pod's annotations say about its proxy.
type options struct {
	image         string
	logLevel      string
	rewriteProbes bool
	mergeMetrics  bool
	resources     corev1.ResourceRequirements

	componentLogLevel string
	agentLogLevel     string
	readiness         readiness
	volumes           []corev1.Volume
	mounts            []corev1.VolumeMount

	inboundPorts         string
	excludeInboundPorts  string
	outboundPorts        string
	excludeOutboundPorts string
	outboundCIDRs        string
	excludeOutboundCIDRs string
	excludeInterfaces    string
	captureOff           bool

	// settings are those of the mesh, of ProxyConfigs and of the pod, merged.
	settings proxyconfig.Settings
}

// readiness is the times of the proxy's readiness probe.
type readiness struct{ delay, period, failures int32 }

// parseOptions reads all annotations and reports every wrong one at once, each with its path. settings are what holds where
// the pod says nothing.
func parseOptions(annotations map[string]string, settings proxyconfig.Settings) (options, []string, error) {
	p := &parser{annotations: annotations}
	o := options{
		settings:          p.settings(settings),
		componentLogLevel: p.componentLogLevel(),
		agentLogLevel:     p.agentLogLevel(),
		readiness: readiness{
			delay: p.number(annotationDelay, 0, 0), period: p.number(annotationPeriod, readyPeriod, 1),
			failures: p.number(annotationFailures, readyFailures, 1),
		},
		volumes:              p.userVolumes(),
		mounts:               p.userMounts(),
		outboundPorts:        p.ports(annotationOutPorts, "", false),
		excludeInterfaces:    p.interfaces(),
		image:                p.text(annotationImage, ""),
		logLevel:             p.text(annotationLogLevel, defaultLogLevel),
		rewriteProbes:        p.flag(annotationRewrite, true),
		mergeMetrics:         p.flag(annotationMerge, true),
		inboundPorts:         p.ports(annotationInPorts, capture.All, true),
		excludeInboundPorts:  p.ports(annotationNotInPorts, "", false),
		excludeOutboundPorts: p.ports(annotationNotOutPorts, "", false),
		outboundCIDRs:        p.blocks(annotationOutRanges, capture.All, true),
		excludeOutboundCIDRs: p.blocks(annotationNotOutRanges, "", false),
	}
	if !slices.Contains(logLevels, o.logLevel) {
		p.fail(annotationLogLevel, fmt.Errorf("%q is none of %s", o.logLevel, strings.Join(logLevels, ", ")))
	}
	if scope := p.text(annotationScope, ""); scope != "" && !slices.Contains(scopes, scope) {
		p.fail(annotationScope, fmt.Errorf("%q is none of %s", scope, strings.Join(scopes, ", ")))
	}
	o.resources = p.resources()
	o.excludeInboundPorts = strings.TrimPrefix(o.excludeInboundPorts+","+ownport.UncapturedList(), ",")
	p.mode(&o)
	p.fixed(annotationNative, "true", "the proxy is always a native sidecar")
	p.fixed(annotationStatusPort, strconv.Itoa(ownport.Status), "the agent always listens at "+strconv.Itoa(ownport.Status))
	if err := proxyconfig.CheckImageType(p.text(annotationImageType, "")); err != nil {
		p.warn(annotationImageType, err.Error()+"; it has no effect")
	}
	return o, p.warnings, errors.Join(p.errs...)
}

// dnsCapture tells whether the application's DNS queries go to the agent.
func (o options) dnsCapture() bool { return o.settings.CapturesDNS() && !o.captureOff }

type parser struct {
	annotations map[string]string
	errs        []error
	warnings    []string
}

func (p *parser) warn(name, text string) {
	p.warnings = append(p.warnings, "metadata.annotations["+name+"]: "+text)
}

func (p *parser) fail(name string, err error) {
	p.errs = append(p.errs, fmt.Errorf("metadata.annotations[%s]: %w", name, err))
}

func (p *parser) text(name, otherwise string) string {
	if value := strings.TrimSpace(p.annotations[name]); value != "" {
		return value
	}
	return otherwise
}

func (p *parser) flag(name string, otherwise bool) bool {
	value := p.text(name, "")
	if value == "" {
		return otherwise
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		p.fail(name, fmt.Errorf("%q is neither true nor false", value))
	}
	return on
}

// ports keeps the user's text, without spaces, once it has been understood: present but empty means none.
func (p *parser) ports(name, otherwise string, allowAll bool) string {
	value, ok := p.annotations[name]
	if !ok {
		return otherwise
	}
	all, _, err := capture.ParsePorts(value)
	if err == nil && all && !allowAll {
		err = fmt.Errorf("%q is not allowed here; exclude every port by an empty include annotation", capture.All)
	}
	if err != nil {
		p.fail(name, err)
	}
	return tidy(value)
}

func (p *parser) blocks(name, otherwise string, allowAll bool) string {
	value, ok := p.annotations[name]
	if !ok {
		return otherwise
	}
	all, _, err := capture.ParseCIDRs(value)
	if err == nil && all && !allowAll {
		err = fmt.Errorf("%q is not allowed here; exclude every address by an empty include annotation", capture.All)
	}
	if err != nil {
		p.fail(name, err)
	}
	return tidy(value)
}

func tidy(list string) string {
	var out []string
	for field := range strings.SplitSeq(list, ",") {
		if field = strings.TrimSpace(field); field != "" {
			out = append(out, field)
		}
	}
	return strings.Join(out, ",")
}

// resources lets each annotation replace one default, and moves the other side of a pair when it is only a default:
// the API server refuses a request above its limit.
func (p *parser) resources() corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, r := range []struct {
		name                  corev1.ResourceName
		request, limit        string
		plainRequest, ceiling string
	}{
		{corev1.ResourceCPU, annotationCPU, annotationCPULimit, defaultCPU, defaultCPULimit},
		{corev1.ResourceMemory, annotationMemory, annotationMemoryLimit, defaultMemory, defaultMemoryLimit},
	} {
		request, requested := p.quantity(r.request, r.plainRequest)
		limit, limited := p.quantity(r.limit, r.ceiling)
		if request.Cmp(limit) > 0 {
			switch {
			case requested && limited:
				p.fail(r.request, fmt.Errorf("%s is above the limit %s of %s", request.String(), limit.String(), r.limit))
			case requested:
				limit = request
			default:
				request = limit
			}
		}
		out.Requests[r.name], out.Limits[r.name] = request, limit
	}
	return out
}

func (p *parser) quantity(name, otherwise string) (resource.Quantity, bool) {
	value := p.text(name, "")
	if value == "" {
		return resource.MustParse(otherwise), false
	}
	q, err := resource.ParseQuantity(value)
	if err == nil && q.Sign() <= 0 {
		err = errors.New("must be above zero")
	}
	if err != nil {
		p.fail(name, fmt.Errorf("%q: %w", value, err))
		return resource.MustParse(otherwise), false
	}
	return q, true
}
