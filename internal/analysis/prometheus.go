// SPDX-License-Identifier: Apache-2.0

// Package analysis asks whether what an upgrade has moved so far is well.
package analysis

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// queryLimit bounds one query.
const queryLimit = 5 * time.Second

// Prometheus asks a server whether its queries are within their bounds.
// $(revision) and $(previous) in them become the names of the revisions.
func Prometheus(ctx context.Context, p v1alpha1.PrometheusAnalysis, revision, previous string, now time.Time) upgrade.Verdict {
	client, err := api.NewClient(api.Config{Address: p.Address})
	if err != nil {
		return upgrade.Verdict{Missing: fmt.Sprintf("spec.upgradeStrategy.canary.analysis.prometheus.address: %v", err)}
	}
	asker := promv1.NewAPI(client)
	names := strings.NewReplacer("$(revision)", revision, "$(previous)", previous)
	for _, q := range p.Queries {
		value, missing := ask(ctx, asker, names.Replace(q.Query), now)
		if missing != "" {
			return upgrade.Verdict{Missing: "query " + q.Name + ": " + missing}
		}
		if bad := beyond(q, value); bad != "" {
			return upgrade.Verdict{Bad: "query " + q.Name + ": " + bad}
		}
	}
	return upgrade.Verdict{Good: true}
}

// ask returns the one number that a query yields, or why there is none.
func ask(ctx context.Context, asker promv1.API, query string, now time.Time) (value float64, missing string) {
	bounded, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	result, _, err := asker.Query(bounded, query, now)
	if err != nil {
		return 0, err.Error()
	}
	switch v := result.(type) {
	case *model.Scalar:
		value = float64(v.Value)
	case model.Vector:
		if len(v) != 1 {
			return 0, fmt.Sprintf("it yields %d numbers, want one", len(v))
		}
		value = float64(v[0].Value)
	default:
		return 0, fmt.Sprintf("it yields a %s, want one number", result.Type())
	}
	if math.IsNaN(value) {
		return 0, "it yields no number (NaN)"
	}
	return value, ""
}

// beyond says by which bound a value is bad. Bounds are decimal numbers, as the
// schema has seen to.
func beyond(q v1alpha1.PrometheusQuery, value float64) string {
	if limit, err := strconv.ParseFloat(q.Max, 64); err == nil && value > limit {
		return fmt.Sprintf("%g is above %s", value, q.Max)
	}
	if limit, err := strconv.ParseFloat(q.Min, 64); err == nil && value < limit {
		return fmt.Sprintf("%g is below %s", value, q.Min)
	}
	return ""
}
