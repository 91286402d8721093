// SPDX-License-Identifier: Apache-2.0

package ir

import "time"

// Handling is what a rule does with a request and its response, beside choosing
// where the request goes.
type Handling struct {
	Headers *Headers // nil: none are edited
	Rewrite *Rewrite // nil: path and authority stay
	Fault   *Fault   // nil: nothing goes wrong
	CORS    *CORS    // nil: left to the destination
}

// Headers is how the headers of a request and of its response are edited.
type Headers struct {
	Request  []HeaderEdit // sorted by name, then kind
	Response []HeaderEdit // sorted by name, then kind
}

// EditKind is what is done to a header.
type EditKind uint8

// The edits.
const (
	EditSet    EditKind = iota // replace all values
	EditAdd                    // append one more value
	EditRemove                 // remove all values
)

// HeaderEdit is one edit of one header.
type HeaderEdit struct {
	Kind  EditKind
	Name  string // lower case
	Value string // may have Envoy's format commands; empty with EditRemove
}

// Rewrite changes what the destination sees of the request's URL.
type Rewrite struct {
	Path       string // in place of the prefix that was matched, or of the whole path when it was matched otherwise; "" keeps it
	Pattern    string // RE2; each part of the path that fits is replaced; "" for none; never together with Path
	Substitute string // for Pattern; \N is group N
	Authority  string // "" keeps it
}

// Redirect answers with another URL. What is empty stays as it is in the request.
type Redirect struct {
	Scheme    string
	Authority string // without a port
	Path      string // the whole path
	Prefix    string // in place of the prefix that was matched; never together with Path
	Port      uint16 // 0: the default port of the scheme
	SamePort  bool   // the port of the request
	Status    uint32 // 301, 302, 303, 307 or 308
}

// Fault is what goes wrong on purpose.
type Fault struct {
	Delay        time.Duration // 0: none
	DelayPercent Percent       // of the requests
	AbortStatus  uint32        // HTTP status; 0: none
	AbortGRPC    uint32        // gRPC status, when HasGRPC
	HasGRPC      bool
	AbortPercent Percent // of the requests
}

// Percent is a part of all requests in millionths: 1 % is 10 000.
type Percent uint32

// Everything is 100 %.
const Everything Percent = 1_000_000

// Mirror is a copy of a part of the requests, whose answers nobody waits for.
type Mirror struct {
	To      Destination // its weight has no meaning
	Percent Percent
	Field   string // of To within the rule, for example "mirrors[0].destination"
}

// CORS is which pages of other origins a browser lets call.
// https://fetch.spec.whatwg.org/#http-cors-protocol
type CORS struct {
	Origins       []StringMatch
	Methods       string // comma-separated, as in the header; so are the next two
	Headers       string
	Expose        string
	MaxAge        int64 // seconds, when HasMaxAge
	HasMaxAge     bool
	Credentials   bool
	StopUnmatched bool // preflight requests of other origins do not reach the destination
}
