// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/ir"
)

const (
	maxHost  = 253
	maxLabel = 63
)

// checkLabel checks one DNS label. RFC 1123, section 2.1.
func checkLabel(s string) error {
	if s == "" || len(s) > maxLabel {
		return fmt.Errorf("%q must have 1 to %d characters", s, maxLabel)
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (c != '-' || i == 0 || i == len(s)-1) {
			return fmt.Errorf("%q must consist of letters, digits and inner dashes", s)
		}
	}
	return nil
}

// checkName checks a DNS name without a wildcard.
func checkName(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	if len(s) > maxHost {
		return fmt.Errorf("%q is longer than %d characters", s, maxHost)
	}
	for label := range strings.SplitSeq(s, ".") {
		if err := checkLabel(label); err != nil {
			return fmt.Errorf("%q is no DNS name: label %w", s, err)
		}
	}
	return nil
}

// checkHost checks "*", "*.SUFFIX", a DNS name or an IP address.
func checkHost(s string) error {
	switch {
	case s == "*":
		return nil
	case strings.EqualFold(s, ir.HostNone):
		return fmt.Errorf("%q must be another: the mesh needs this one for itself", s)
	}
	if suffix, ok := strings.CutPrefix(s, "*."); ok {
		return checkName(suffix)
	}
	if strings.Contains(s, "*") {
		return fmt.Errorf("%q may have a wildcard only as its whole first label", s)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	return checkName(s)
}

var headerName = regexp.MustCompile(`^[-_A-Za-z0-9]+$`)

func checkHeader(s string) error {
	if !headerName.MatchString(s) {
		return fmt.Errorf("header name %q must consist of letters, digits, dashes and underscores", s)
	}
	return nil
}

var statPrefix = regexp.MustCompile(`^[-_.A-Za-z0-9]{1,128}$`)

// checkStatPrefix checks what becomes a part of the names of a proxy's counters.
func checkStatPrefix(s string) error {
	if !statPrefix.MatchString(s) {
		return fmt.Errorf("%q must consist of 1 to 128 letters, digits, dots, dashes and underscores", s)
	}
	return nil
}

// duration reads a duration of whole milliseconds, at least one.
func duration(d *durationpb.Duration) (time.Duration, error) {
	if err := d.CheckValid(); err != nil {
		return 0, err
	}
	out := d.AsDuration()
	if out < time.Millisecond {
		return 0, fmt.Errorf("%v must be at least 1ms", out)
	}
	if out%time.Millisecond != 0 {
		return 0, fmt.Errorf("%v must be whole milliseconds", out)
	}
	return out, nil
}

// orDefault is what an object says, else what the mesh does.
func orDefault(own, mesh []string) []string {
	if len(own) > 0 {
		return own
	}
	return mesh
}

// exportTo reads who sees an object: everybody when nothing is said.
// https://istio.io/latest/docs/reference/config/networking/virtual-service/#VirtualService
func exportTo(n *notes, at path, namespace string, in []string) ir.Visibility {
	if len(in) == 0 {
		return ir.Visibility{All: true}
	}
	out := ir.Visibility{}
	before := n.errors()
	for i, entry := range in {
		switch entry {
		case "*":
			out.All = true
		case "~":
			if len(in) > 1 {
				n.invalid(at.index(i), `"~" (nobody) cannot be combined with other entries`)
			}
		case ".":
			out.Namespaces = append(out.Namespaces, namespace)
		default:
			if err := checkLabel(entry); err != nil {
				n.invalid(at.index(i), `namespace %v, or be "*", "." or "~"`, err)
				continue
			}
			out.Namespaces = append(out.Namespaces, entry)
		}
	}
	if out.All && len(in) > 1 {
		n.invalid(at, `"*" (everybody) cannot be combined with other entries`)
	}
	if n.errors() > before {
		return ir.Visibility{Namespaces: []string{namespace}} // never wider than was meant
	}
	slices.Sort(out.Namespaces)
	if compact := slices.Compact(out.Namespaces); len(compact) < len(out.Namespaces) {
		n.invalid(at, "names a namespace twice")
		out.Namespaces = compact
	}
	return out
}

// checkCookie checks the name of a cookie: RFC 6265, section 4.1.1.
func checkCookie(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("()<>@,;:\\\"/[]?={}", r) }) {
		return fmt.Errorf("cookie name %q must consist of letters, digits and -_.!#$%%&'*+^`|~", s)
	}
	return nil
}
