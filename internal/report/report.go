// SPDX-License-Identifier: Apache-2.0

// Package report is what one replica of a control plane says of itself, for the operator and for meshctl: counts and
// outcomes, and no names of anything in the mesh.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Path is where a replica answers, on the port of its webhooks.
const Path = "/status"

// maxBytes bounds a report that is read.
const maxBytes = 64 << 10

// maxError bounds the text of an error in a report.
const maxError = 300

// Report is one replica's.
type Report struct {
	// Version of the control plane, and the revision that it serves.
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// XDS tells whether a stream that the replica opened to its own address was answered, and Webhooks likewise a review.
	XDS      Answer  `json:"xds"`
	Proxies  Proxies `json:"proxies"`
	Webhooks Answer  `json:"webhooks"`
}

// Answer is the outcome of the last self-check.
type Answer struct {
	Answers bool `json:"answers"`
	// Error says why it does not answer.
	Error string `json:"error,omitempty"`
}

// AnswerOf is the outcome of a check that ended with an error, or with nil.
func AnswerOf(err error) Answer {
	if err == nil {
		return Answer{Answers: true}
	}
	text := err.Error()
	if len(text) > maxError {
		text = text[:maxError]
	}
	return Answer{Error: text}
}

// Proxies counts the proxies of this replica, gateways among them.
type Proxies struct {
	// Connected have an open stream. Synced of them hold everything as it is now; Rejecting refused something of it;
	// Lagging have left something unanswered for 30 seconds.
	Connected int `json:"connected"`
	Synced    int `json:"synced"`
	Rejecting int `json:"rejecting"`
	Lagging   int `json:"lagging"`
}

// Plus adds the proxies of another replica.
func (p Proxies) Plus(other Proxies) Proxies {
	return Proxies{
		Connected: p.Connected + other.Connected, Synced: p.Synced + other.Synced,
		Rejecting: p.Rejecting + other.Rejecting, Lagging: p.Lagging + other.Lagging,
	}
}

// Read reads a report that a replica wrote.
func Read(from io.Reader) (Report, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxBytes+1))
	if err != nil {
		return Report{}, fmt.Errorf("read a control plane's report: %w", err)
	}
	if len(text) > maxBytes {
		return Report{}, fmt.Errorf("a control plane's report is larger than %d bytes", maxBytes)
	}
	var out Report
	if err := json.Unmarshal(text, &out); err != nil {
		return Report{}, fmt.Errorf("decode a control plane's report: %w", err)
	}
	if out.Revision == "" {
		return Report{}, errors.New("what was answered is not a control plane's report: it names no revision")
	}
	return out, nil
}
