// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"strings"
)

// Condition is the status condition that a problem makes false.
type Condition string

// The conditions of the objects that the control plane reads.
const (
	Accepted     Condition = "Accepted"     // understood
	ResolvedRefs Condition = "ResolvedRefs" // what it names exists
	Conflicted   Condition = "Conflicted"   // another object wins; true when there is a problem
	Programmed   Condition = "Programmed"   // in effect in the proxies
)

// Severity says whether a problem keeps the object, or a part of it, from taking effect.
type Severity uint8

// The severities.
const (
	Error   Severity = iota // this part does not take effect
	Warning                 // takes effect, but something in it is ignored
)

// Problem is something that a user should know of one of his objects.
type Problem struct {
	Origin    Origin
	Condition Condition
	Severity  Severity
	Reason    string // CamelCase, stable
	Field     string // path, for example "spec.http[0].route[1].weight"
	Message   string // one sentence with the remedy
}

// String is FIELD: MESSAGE.
func (p Problem) String() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}

// Compare orders problems by origin, condition, field, message.
func (p Problem) Compare(o Problem) int {
	return cmp.Or(
		p.Origin.Compare(o.Origin),
		strings.Compare(string(p.Condition), string(o.Condition)),
		strings.Compare(p.Field, o.Field),
		strings.Compare(p.Reason, o.Reason),
		strings.Compare(p.Message, o.Message),
	)
}
