// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"regexp"
	"strings"

	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// StatsInclusion widens the set of metrics that Envoy keeps beyond the default one.
type StatsInclusion struct {
	Prefixes, Suffixes, Regexps []string
}

// The annotations of a pod that widen its proxy's metrics, as users of Istio know them
// (https://istio.io/latest/docs/reference/config/annotations/).
const (
	prefixesAnnotation = "sidecar.istio.io/statsInclusionPrefixes"
	suffixesAnnotation = "sidecar.istio.io/statsInclusionSuffixes"
	regexpsAnnotation  = "sidecar.istio.io/statsInclusionRegexps"
)

// maxInclusions bounds each list: every metric's name is matched against all of them.
const maxInclusions = 64

// ParseStatsInclusion reads the pod's annotations. A bad entry is an error that names its annotation; the others are kept.
func ParseStatsInclusion(annotations map[string]string) (StatsInclusion, error) {
	var errs []string
	list := func(name string, check func(string) error) []string {
		var out []string
		for entry := range strings.SplitSeq(annotations[name], ",") {
			entry = strings.TrimSpace(entry)
			if entry == "" {
				continue
			}
			if err := check(entry); err != nil {
				errs = append(errs, fmt.Sprintf("annotation %s: %q: %v", name, entry, err))
				continue
			}
			if len(out) == maxInclusions {
				errs = append(errs, fmt.Sprintf("annotation %s: more than %d entries", name, maxInclusions))
				break
			}
			out = append(out, entry)
		}
		return out
	}
	accept := func(string) error { return nil }
	compile := func(entry string) error { _, err := regexp.Compile(entry); return err }
	s := StatsInclusion{
		Prefixes: list(prefixesAnnotation, accept),
		Suffixes: list(suffixesAnnotation, accept),
		Regexps:  list(regexpsAnnotation, compile),
	}
	if len(errs) > 0 {
		return s, fmt.Errorf("%s", strings.Join(errs, "; "))
	}
	return s, nil
}

// defaultPrefixes are kept whole: Envoy's own state, the connection to the control plane, and the mesh's request metrics.
var defaultPrefixes = []string{
	"server.", "cluster_manager.", "listener_manager.", "control_plane.", "overload.", "istio",
	"cluster." + DiscoveryCluster + ".",
}

// defaultRegexps keep what draining needs (active connections and requests) and, of each cluster, only what explains a
// failure. All metrics of a thousand clusters would cost each proxy tens of megabytes.
var defaultRegexps = []string{
	`listener\..*\.downstream_cx_active`,
	`http\..*\.downstream_(cx|rq)_active`,
	`cluster\..*\.upstream_(cx_active|cx_connect_fail|cx_connect_timeout|cx_overflow|rq_pending_overflow|rq_retry|rq_retry_success|rq_retry_overflow|rq_timeout)`,
	`cluster\..*\.ssl\.(fail_verify_error|fail_verify_san|connection_error)`,
	`cluster\..*\.outlier_detection\.ejections_(active|enforced_total)`,
	// Only routes with a statPrefix have any.
	`vhost\..*\.route\..*`,
}

// clusterTag finds the cluster's name, which contains dots, from the end: what follows it is one word, or one of Envoy's
// known scopes and a word.
const clusterTag = `^cluster\.((.+?)\.)(?:ssl\.(?:ciphers|curves|sigalgs|versions)\..+|` +
	`(?:(?:ssl|external|internal|canary|outlier_detection|circuit_breakers\.(?:default|high)|http[123]|client_ssl_socket_factory)\.)?[a-zA-Z0-9_]+)$`

// vhostTag and routeTag do the same for a route's statPrefix and the virtual host that it is of.
const (
	vhostTag = `^vhost\.((.+?)\.)route\.`
	routeTag = `^vhost\..+?\.route\.((.+)\.)[a-z0-9_]+$`
)

func statsConfig(include StatsInclusion) (*metricsv3.StatsConfig, error) {
	var patterns []*matcherv3.StringMatcher
	for _, prefix := range append(append([]string{}, defaultPrefixes...), include.Prefixes...) {
		patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}})
	}
	for _, suffix := range include.Suffixes {
		patterns = append(patterns, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: suffix}})
	}
	for _, expression := range append(append([]string{}, defaultRegexps...), include.Regexps...) {
		if _, err := regexp.Compile(expression); err != nil {
			return nil, fmt.Errorf("metrics to include: %w", err)
		}
		patterns = append(patterns, &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: expression}},
		})
	}
	tag := func(name string) *metricsv3.TagSpecifier { return &metricsv3.TagSpecifier{TagName: name} }
	taken := func(name, expression string) *metricsv3.TagSpecifier {
		return &metricsv3.TagSpecifier{TagName: name, TagValue: &metricsv3.TagSpecifier_Regex{Regex: expression}}
	}
	return &metricsv3.StatsConfig{
		UseAllDefaultTags: wrapperspb.Bool(false),
		StatsTags: []*metricsv3.TagSpecifier{
			taken("cluster_name", clusterTag), taken("vhost", vhostTag), taken("route", routeTag),
			tag("envoy.listener_address"), tag("envoy.http_conn_manager_prefix"),
			tag("envoy.response_code"), tag("envoy.response_code_class"), tag("envoy.worker_id"),
		},
		StatsMatcher: &metricsv3.StatsMatcher{StatsMatcher: &metricsv3.StatsMatcher_InclusionList{
			InclusionList: &matcherv3.ListStringMatcher{Patterns: patterns},
		}},
	}, nil
}
