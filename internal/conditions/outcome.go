// SPDX-License-Identifier: Apache-2.0

// Package conditions says how a reconcile ended: as an error that knows what
// happens next, and as the conditions that tell users so.
package conditions

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what happens after an error.
type Kind int

// The kinds of errors. An error of no kind is Plain.
const (
	// Plain errors are tried again with back-off.
	Plain Kind = iota
	// Waiting is not a failure: something else has to happen first, and is
	// looked at again after a while or when a watch tells.
	Waiting
	// Stalled means that nothing changes without a user.
	Stalled
	// Terminal means that trying again cannot help: a fault in this program or
	// in what it carries.
	Terminal
)

// Outcome is an error that knows what happens next.
type Outcome struct {
	Kind Kind
	// Reason is the condition's reason, in CamelCase.
	Reason string
	// Message is for users.
	Message string
	// After says when to look again; zero leaves it to the caller.
	After time.Duration
}

// Error returns the message.
func (o *Outcome) Error() string { return o.Message }

// Wait returns an Outcome of kind Waiting.
func Wait(reason string, after time.Duration, format string, args ...any) error {
	return &Outcome{Kind: Waiting, Reason: reason, After: after, Message: fmt.Sprintf(format, args...)}
}

// Stall returns an Outcome of kind Stalled.
func Stall(reason, format string, args ...any) error {
	return &Outcome{Kind: Stalled, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Give returns an Outcome of kind Terminal.
func Give(reason, format string, args ...any) error {
	return &Outcome{Kind: Terminal, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of err; Plain when it is of none.
func KindOf(err error) Kind {
	var o *Outcome
	if errors.As(err, &o) {
		return o.Kind
	}
	return Plain
}

// ReasonOf returns the reason of err, or fallback when it has none.
func ReasonOf(err error, fallback string) string {
	var o *Outcome
	if errors.As(err, &o) {
		return o.Reason
	}
	return fallback
}

// AfterOf returns when to look again, or fallback when err does not say.
func AfterOf(err error, fallback time.Duration) time.Duration {
	var o *Outcome
	if errors.As(err, &o) && o.After > 0 {
		return o.After
	}
	return fallback
}
