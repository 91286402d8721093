// SPDX-License-Identifier: Apache-2.0

package status

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

// Condition is one entry of status.conditions, as in
// https://istio.io/latest/docs/reference/config/meta/v1alpha1/istio-status/#IstioCondition.
type Condition struct {
	Type               string
	Status             string // "True", "False"
	Reason             string
	Message            string
	ObservedGeneration int64
	LastTransitionTime time.Time
}

// The values of a condition's status.
const (
	statusTrue  = "True"
	statusFalse = "False"
)

// Reasons of conditions without an error.
const (
	reasonAccepted   = "Accepted"
	reasonIgnored    = "AcceptedWithWarnings"
	reasonResolved   = "ResolvedRefs"
	reasonProgrammed = "Programmed"
	reasonRejected   = "RejectedByProxy"
	reasonPending    = "Pending" // not in all proxies yet
)

// maxMessage bounds a condition's message. Objects are limited to about 1.5 MiB
// and people read the first lines.
const maxMessage = 2048

// order is how conditions are listed.
var order = []ir.Condition{ir.Accepted, ir.ResolvedRefs, ir.Conflicted, ir.Programmed}

// referring is the kinds whose references are checked even when there is no problem.
var referring = map[string]bool{"VirtualService": true, "Gateway": true}

// conditions says what is to be written about an object.
func conditions(key ir.Origin, o *object) []Condition {
	problems := o.problems()
	var out []Condition
	for _, kind := range order {
		c, ok := condition(kind, key, o, problems)
		if !ok {
			continue
		}
		c.Type, c.ObservedGeneration = string(kind), o.generation
		c.Message = shorten(c.Message)
		out = append(out, c)
	}
	return out
}

func condition(kind ir.Condition, key ir.Origin, o *object, problems []ir.Problem) (Condition, bool) {
	if kind == ir.Programmed {
		return programmed(o, problems), true
	}
	errors, warnings := split(problems, func(p ir.Problem) bool { return p.Condition == kind })
	switch {
	case kind == ir.Conflicted:
		all := slices.Concat(errors, warnings)
		if len(all) == 0 {
			return Condition{}, false
		}
		return Condition{Status: statusTrue, Reason: all[0].Reason, Message: list(all)}, true
	case kind == ir.ResolvedRefs && len(errors)+len(warnings) == 0 && !referring[key.Kind]:
		return Condition{}, false
	case len(errors) > 0:
		return Condition{Status: statusFalse, Reason: errors[0].Reason, Message: list(slices.Concat(errors, warnings))}, true
	case kind == ir.ResolvedRefs:
		return Condition{Status: statusTrue, Reason: reasonResolved, Message: list(warnings)}, true
	case len(warnings) > 0:
		return Condition{Status: statusTrue, Reason: reasonIgnored, Message: list(warnings)}, true
	}
	return Condition{Status: statusTrue, Reason: reasonAccepted}, true
}

// programmed is false when any part of the object is not in effect: because of an
// error anywhere, or because a proxy refused what came out of it.
func programmed(o *object, problems []ir.Problem) Condition {
	if all := o.refused(); len(all) > 0 {
		lines := make([]string, 0, len(all))
		for _, r := range slices.Sorted(maps.Keys(all)) {
			lines = append(lines, "a proxy refused "+r+": "+all[r])
		}
		return Condition{Status: statusFalse, Reason: reasonRejected, Message: strings.Join(lines, "; ")}
	}
	errors, _ := split(problems, func(p ir.Problem) bool { return p.Condition != ir.Conflicted })
	if own, _ := split(problems, func(p ir.Problem) bool { return p.Condition == ir.Programmed }); len(own) > 0 {
		errors = own
	}
	if len(errors) > 0 {
		return Condition{Status: statusFalse, Reason: errors[0].Reason, Message: list(errors)}
	}
	return Condition{Status: statusTrue, Reason: reasonProgrammed}
}

func split(problems []ir.Problem, keep func(ir.Problem) bool) (errors, warnings []ir.Problem) {
	for _, p := range problems {
		switch {
		case !keep(p):
		case p.Severity == ir.Error:
			errors = append(errors, p)
		default:
			warnings = append(warnings, p)
		}
	}
	return errors, warnings
}

func list(problems []ir.Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "; ")
}

// shorten cuts at a rune's edge and says how much is missing.
func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	cut := maxMessage
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "... (" + strconv.Itoa(len(s)-cut) + " more bytes)"
}

// same tells whether two lists say the same, apart from the times.
func same(a, b []Condition) bool {
	return slices.EqualFunc(a, b, func(x, y Condition) bool {
		x.LastTransitionTime, y.LastTransitionTime = time.Time{}, time.Time{}
		return x == y
	})
}

// stamp sets the transition times: that of the current condition as long as its
// status stays, else now.
func stamp(next, current []Condition, now time.Time) {
	for i := range next {
		next[i].LastTransitionTime = now
		for _, c := range current {
			if c.Type == next[i].Type && c.Status == next[i].Status && !c.LastTransitionTime.IsZero() {
				next[i].LastTransitionTime = c.LastTransitionTime
			}
		}
	}
}
