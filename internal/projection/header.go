// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

const (
	// maxHeaderEdits is how many headers of one message Envoy lets a route write.
	// https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto
	maxHeaderEdits = 1000
	// maxHeaderValue is the longest value that Envoy takes, in bytes.
	maxHeaderValue = 16384
)

// edits projects the headers of a rule or of a destination. The authority is no
// header in Envoy: writing it is a rewrite.
func (v *virtualService) edits(at path, in *networking.Headers) (out *ir.Headers, authority string) {
	if in == nil {
		return nil, ""
	}
	out = &ir.Headers{}
	out.Request, authority = v.operations(at.field("request"), in.Request, true)
	out.Response, _ = v.operations(at.field("response"), in.Response, false)
	if len(out.Request) == 0 && len(out.Response) == 0 {
		out = nil
	}
	return out, authority
}

func (v *virtualService) operations(
	at path, in *networking.Headers_HeaderOperations, request bool,
) (out []ir.HeaderEdit, authority string) {
	for name, value := range in.GetSet() {
		here := at.field("set").key(name)
		if request && isAuthority(name) {
			if err := checkAuthority(value); err != nil {
				v.notes.invalid(here, "%v", err)
			}
			authority = value
			continue
		}
		v.edit(here, ir.HeaderEdit{Kind: ir.EditSet, Name: name, Value: value}, &out)
	}
	for name, value := range in.GetAdd() {
		v.edit(at.field("add").key(name), ir.HeaderEdit{Kind: ir.EditAdd, Name: name, Value: value}, &out)
	}
	for i, name := range in.GetRemove() {
		v.edit(at.field("remove").index(i), ir.HeaderEdit{Kind: ir.EditRemove, Name: name}, &out)
	}
	if len(out) > maxHeaderEdits {
		v.notes.invalid(at, "edits %d headers; at most %d are possible", len(out), maxHeaderEdits)
	}
	slices.SortFunc(out, func(a, b ir.HeaderEdit) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Value, b.Value))
	})
	return slices.Compact(out), authority
}

func (v *virtualService) edit(at path, e ir.HeaderEdit, out *[]ir.HeaderEdit) {
	if isAuthority(e.Name) {
		v.notes.invalid(at, "%s can only be replaced, in a request: use headers.request.set or rewrite.authority", e.Name)
		return
	}
	if err := checkHeader(e.Name); err != nil {
		v.notes.invalid(at, "%v", err)
	}
	if err := checkFormat(e.Value); err != nil {
		v.notes.invalid(at, "%v", err)
	}
	e.Name = strings.ToLower(e.Name)
	*out = append(*out, e)
}

func isAuthority(name string) bool {
	return strings.EqualFold(name, "host") || strings.EqualFold(name, ":authority")
}

// formatCommand is one command in a header's value: %NAME%, %NAME(ARGUMENT)%, with a
// length behind the argument if any.
var formatCommand = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\(([^()%]*)\)(?::[0-9]{1,4})?)?%`)

// formatCommands is the commands that may stand in a header's value, and whether
// each takes the name of a header. One that Envoy does not know would make it refuse
// the whole host. Those that tell of the proxy's own environment and files are left out.
// https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#command-operators
var formatCommands = map[string]bool{
	"REQ": true, "RESP": true, "TRAILER": true,
	"PROTOCOL": false, "START_TIME": false, "HOSTNAME": false, "STREAM_ID": false,
	"RESPONSE_CODE": false, "RESPONSE_CODE_DETAILS": false, "RESPONSE_FLAGS": false,
	"BYTES_RECEIVED": false, "DURATION": false, "RESPONSE_DURATION": false,
	"ROUTE_NAME": false, "VIRTUAL_CLUSTER_NAME": false, "REQUESTED_SERVER_NAME": false,
	"UPSTREAM_HOST": false, "UPSTREAM_CLUSTER": false, "UPSTREAM_REMOTE_ADDRESS": false,
	"UPSTREAM_LOCAL_ADDRESS": false, "CONNECTION_ID": false,
	"DOWNSTREAM_REMOTE_ADDRESS": false, "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": false,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS": false, "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": false,
	"DOWNSTREAM_LOCAL_ADDRESS": false, "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": false,
	"DOWNSTREAM_LOCAL_PORT": false, "DOWNSTREAM_PEER_URI_SAN": false, "DOWNSTREAM_LOCAL_URI_SAN": false,
	"DOWNSTREAM_PEER_SUBJECT": false, "DOWNSTREAM_PEER_ISSUER": false, "DOWNSTREAM_PEER_SERIAL": false,
	"DOWNSTREAM_PEER_FINGERPRINT_256": false, "DOWNSTREAM_PEER_CERT": false,
	"DOWNSTREAM_TLS_CIPHER": false, "DOWNSTREAM_TLS_VERSION": false, "DOWNSTREAM_TLS_SESSION_ID": false,
}

// checkFormat checks the value of a header with its commands; "%%" is a percent sign.
func checkFormat(s string) error {
	if err := checkHeaderValue(s); err != nil {
		return err
	}
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return nil
		}
		if s = s[i:]; strings.HasPrefix(s, "%%") {
			s = s[2:]
			continue
		}
		m := formatCommand.FindStringSubmatch(s)
		if m == nil {
			return fmt.Errorf("%q begins no command; write %%%% for a percent sign", s)
		}
		header, known := formatCommands[m[1]]
		if !known {
			return fmt.Errorf("there is no command %%%s%% for headers", m[1])
		}
		if argument := strings.Contains(m[0], "("); argument != header {
			return fmt.Errorf("command %s must have the name of a header in parentheses exactly when it is REQ, RESP or TRAILER", m[0])
		}
		if header {
			if err := checkHeader(strings.TrimPrefix(m[2], ":")); err != nil {
				return fmt.Errorf("command %s: %w", m[0], err)
			}
		}
		s = s[len(m[0]):]
	}
}

// checkHeaderValue checks what may be sent at all. RFC 9110, section 5.5.
func checkHeaderValue(s string) error {
	switch {
	case len(s) > maxHeaderValue:
		return fmt.Errorf("is longer than %d bytes", maxHeaderValue)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return errors.New("must not have control characters")
	}
	return nil
}
