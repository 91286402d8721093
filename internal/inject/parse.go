// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meshwright/meshwright/internal/agent/capture"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

// settings lays what the pod's own configuration says over what holds for it.
func (p *parser) settings(weaker proxyconfig.Settings) proxyconfig.Settings {
	text := p.text(proxyconfig.Annotation, "")
	if text == "" {
		return weaker
	}
	own, ignored, err := proxyconfig.Parse([]byte(text))
	for _, err := range proxyconfig.Each(err) {
		p.fail(proxyconfig.Annotation, err)
	}
	for _, what := range ignored {
		p.warn(proxyconfig.Annotation, what+"; it has no effect")
	}
	return own.Over(weaker)
}

// mode serves the ways to capture that there are.
func (p *parser) mode(o *options) {
	switch mode := p.text(annotationMode, "REDIRECT"); mode {
	case "REDIRECT":
	case "NONE":
		o.captureOff = true
		o.inboundPorts, o.outboundPorts, o.outboundCIDRs = "", "", ""
	case "TPROXY":
		p.warn(annotationMode, "TPROXY is not served; REDIRECT is used")
	default:
		p.fail(annotationMode, fmt.Errorf("%q is none of REDIRECT, NONE, TPROXY", mode))
	}
}

// fixed warns of a value other than the one that always holds.
func (p *parser) fixed(name, value, why string) {
	if got := p.text(name, value); got != value {
		p.warn(name, fmt.Sprintf("%q has no effect: %s", got, why))
	}
}

// number reads a whole number of seconds or times.
func (p *parser) number(name string, otherwise, least int32) int32 {
	value := p.text(name, "")
	if value == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < int64(least) {
		p.fail(name, fmt.Errorf("%q is not a whole number of at least %d", value, least))
		return otherwise
	}
	return int32(n)
}

// componentForm is what Envoy takes, COMPONENT:LEVEL.
var componentForm = regexp.MustCompile(`^[a-z0-9_]+:(` + strings.Join(logLevels, "|") + `)$`)

func (p *parser) componentLogLevel() string {
	value := tidy(p.text(annotationComponents, ""))
	for field := range strings.SplitSeq(value, ",") {
		if value != "" && !componentForm.MatchString(field) {
			p.fail(annotationComponents, fmt.Errorf("%q is not COMPONENT:LEVEL with a level of %s", field, strings.Join(logLevels, ", ")))
		}
	}
	return value
}

// agentLevels are the agent's, by the names that Istio's agent has for its own.
var agentLevels = map[string]string{
	"debug": "debug", "info": "info", "warn": "warn", "error": "error", "fatal": "error", "none": "error",
}

// agentLogLevel reads a level, or a list of SCOPE:LEVEL of which default and all count: the agent has one log.
func (p *parser) agentLogLevel() string {
	value := tidy(p.text(annotationAgentLog, ""))
	if value == "" {
		return ""
	}
	level := ""
	for field := range strings.SplitSeq(value, ",") {
		scope, name, scoped := strings.Cut(field, ":")
		if !scoped {
			scope, name = "default", field
		}
		known, ok := agentLevels[name]
		if !ok {
			p.fail(annotationAgentLog, fmt.Errorf("%q is none of debug, info, warn, error", name))
		}
		if slices.Contains([]string{"default", "all"}, scope) {
			level = known
		}
	}
	return level
}

func (p *parser) interfaces() string {
	value := tidy(p.text(annotationNotInterfaces, ""))
	if _, err := capture.ParseInterfaces(value); err != nil {
		p.fail(annotationNotInterfaces, err)
	}
	return value
}

// statsAnnotations hand the agent the metrics to keep, which it reads from the pod's annotations, where the pod does not
// name them itself.
func (s subject) statsAnnotations(set map[string]string) {
	wanted := s.options.settings
	for _, list := range []struct {
		annotation string
		values     []string
	}{
		{annotationStatsPrefixes, wanted.StatsPrefixes}, {annotationStatsSuffixes, wanted.StatsSuffixes}, {annotationStatsRegexps, wanted.StatsRegexps},
	} {
		if _, own := s.pod.Annotations[list.annotation]; !own && len(list.values) > 0 {
			set[list.annotation] = strings.Join(list.values, ",")
		}
	}
}
