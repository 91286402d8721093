// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// What holds where a spec says nothing.
const (
	defaultDeadline = 10 * time.Minute
	defaultGrace    = 30 * time.Second
	defaultSoak     = time.Minute
	defaultAtOnce   = "10%"
)

var defaultSteps = []int32{10, 50, 100}

// settings are an UpgradeStrategy with everything said.
type settings struct {
	canary         bool
	deadline       time.Duration
	grace          time.Duration
	steps          []step
	maxUnavailable intstr.IntOrString
	promote, abort string
}

type step struct {
	percent    int32 // 0 for none
	namespaces labels.Selector
	soak       time.Duration
}

func settle(s v1alpha1.UpgradeStrategy) settings {
	out := settings{
		canary: s.Type == v1alpha1.Canary, deadline: seconds(s.ProgressDeadlineSeconds, defaultDeadline),
		grace: defaultGrace, maxUnavailable: intstr.FromString(defaultAtOnce),
	}
	c := s.Canary
	if c == nil {
		c = &v1alpha1.CanaryStrategy{}
	}
	out.grace = seconds(c.GracePeriodSeconds, defaultGrace)
	out.promote, out.abort = c.Promote, c.Abort
	if c.MaxUnavailable != nil {
		out.maxUnavailable = *c.MaxUnavailable
	}
	for _, s := range c.Steps {
		next := step{soak: seconds(s.SoakSeconds, defaultSoak)}
		if s.Percent != nil {
			next.percent = *s.Percent
		}
		if s.Namespaces != nil {
			selector, err := Selector(s.Namespaces)
			if err != nil {
				selector = labels.Nothing() // Check says so before
			}
			next.namespaces = selector
		}
		out.steps = append(out.steps, next)
	}
	if len(out.steps) == 0 {
		for _, percent := range defaultSteps {
			out.steps = append(out.steps, step{percent: percent, soak: defaultSoak})
		}
	}
	return out
}

// Check says what is wrong with a strategy that its schema lets through, with
// the field's path.
func Check(s v1alpha1.UpgradeStrategy) error {
	if s.Canary == nil {
		return nil
	}
	for i, step := range s.Canary.Steps {
		if step.Namespaces == nil {
			continue
		}
		if _, err := Selector(step.Namespaces); err != nil {
			return fmt.Errorf("spec.upgradeStrategy.canary.steps[%d].namespaces: %w", i, err)
		}
	}
	return nil
}

func seconds(n *int32, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	return time.Duration(*n) * time.Second
}

// atOnce is how many of all workloads may be restarted at a time.
func (s settings) atOnce(total int) int {
	if s.maxUnavailable.Type == intstr.Int {
		return max(1, s.maxUnavailable.IntValue())
	}
	percent, err := strconv.Atoi(strings.TrimSuffix(s.maxUnavailable.StrVal, "%"))
	if err != nil {
		return 1
	}
	return max(1, total*percent/100)
}

func stamp(t time.Time) *metav1.Time {
	out := metav1.NewTime(t)
	return &out
}
