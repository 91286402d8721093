// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// prefixPlaceholder at the start of a redirect's uri stands for the prefix that was matched.
const prefixPlaceholder = "%PREFIX()%"

func (v *virtualService) rewrite(at path, in *networking.HTTPRewrite) *ir.Rewrite {
	out := &ir.Rewrite{Path: in.Uri, Authority: in.Authority}
	if in.Uri == "" && in.Authority == "" && in.UriRegexRewrite == nil {
		v.notes.invalid(at, "needs uri, uriRegexRewrite or authority")
	}
	if err := checkURLPart(in.Uri); err != nil {
		v.notes.invalid(at.field("uri"), "%v", err)
	}
	if in.Authority != "" {
		if err := checkAuthority(in.Authority); err != nil {
			v.notes.invalid(at.field("authority"), "%v", err)
		}
	}
	if r := in.UriRegexRewrite; r != nil {
		here := at.field("uriRegexRewrite")
		if in.Uri != "" {
			v.notes.invalid(here, "cannot be combined with uri")
		}
		out.Pattern, out.Substitute = r.Match, r.Rewrite
		if err := checkRegex(r.Match); err != nil {
			v.notes.invalid(here.field("match"), "%v", err)
		} else if err := checkSubstitute(r.Match, r.Rewrite); err != nil {
			v.notes.invalid(here.field("rewrite"), "%v", err)
		}
	}
	return out
}

func (v *virtualService) redirect(at path, in *networking.HTTPRedirect, matches []*networking.HTTPMatchRequest) *ir.Redirect {
	out := &ir.Redirect{Scheme: in.Scheme, Authority: in.Authority, Path: in.Uri, Prefix: in.PrefixRewrite, Status: in.RedirectCode}
	if prefix, ok := strings.CutPrefix(in.Uri, prefixPlaceholder); ok {
		out.Path, out.Prefix = "", prefix
		if prefix == "" {
			v.notes.invalid(at.field("uri"), "needs what the prefix is replaced with behind %s", prefixPlaceholder)
		}
	}
	if in.Uri != "" && in.PrefixRewrite != "" {
		v.notes.invalid(at.field("prefixRewrite"), "cannot be combined with uri")
	}
	for i, m := range matches {
		if m != nil && m.Uri != nil && out.Prefix != "" && m.Uri.GetPrefix() == "" {
			v.notes.invalid(at, "replaces a prefix, but match[%d] is not by a prefix", i)
		}
	}
	for name, text := range map[string]string{"uri": in.Uri, "prefixRewrite": in.PrefixRewrite} {
		if err := checkURLPart(text); err != nil {
			v.notes.invalid(at.field(name), "%v", err)
		}
	}
	if in.Authority != "" {
		if err := checkAuthority(in.Authority); err != nil {
			v.notes.invalid(at.field("authority"), "%v", err)
		}
	}
	if in.Scheme != "" && in.Scheme != "http" && in.Scheme != "https" {
		v.notes.invalid(at.field("scheme"), `scheme %q must be "http" or "https"`, in.Scheme)
	}
	switch p := in.RedirectPort.(type) {
	case *networking.HTTPRedirect_Port:
		port, ok := portNumber(int64(p.Port))
		if !ok {
			v.notes.invalid(at.field("port"), "port %d must be from 1 to 65535", p.Port)
		}
		out.Port = port
	case *networking.HTTPRedirect_DerivePort:
		out.SamePort = p.DerivePort == networking.HTTPRedirect_FROM_REQUEST_PORT
	}
	switch in.RedirectCode {
	case 0:
		out.Status = 301
	case 301, 302, 303, 307, 308:
	default:
		v.notes.invalid(at.field("redirectCode"), "code %d must be 301, 302, 303, 307 or 308", in.RedirectCode)
	}
	return out
}

// loops warns of a redirect to what the rule redirects again.
func (v *virtualService) loops(at path, rule *ir.Rule) {
	r := rule.Redirect
	if r.Scheme != "" || r.Authority != "" || r.Port != 0 {
		return
	}
	target, _, _ := strings.Cut(r.Path, "?")
	same := slices.ContainsFunc(rule.Matches, func(m ir.Match) bool { return m.Path != nil && m.Path.Value == r.Prefix })
	if r.Path != "" && !ir.Covers(rule.Matches, &ir.Match{Path: &ir.StringMatch{Value: target}}) || r.Path == "" && r.Prefix != "" && !same {
		return
	}
	v.notes.warn(ReasonLoop, at, "sends clients to where this rule redirects them again; change scheme, authority or uri")
}

// checkURLPart checks text that becomes a part of a URL. RFC 3986, section 2.
func checkURLPart(s string) error {
	if len(s) > maxURLPart {
		return fmt.Errorf("is longer than %d bytes", maxURLPart)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("must have visible ASCII characters only; encode others with percent signs")
	}
	return nil
}

const maxURLPart = 8192

// checkAuthority checks HOST or HOST:PORT.
func checkAuthority(s string) error {
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("authority %q must have a port from 1 to 65535, or none", s)
		}
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if err := checkName(host); err != nil {
		return fmt.Errorf("authority must be HOST or HOST:PORT: %w", err)
	}
	return nil
}

// checkSubstitute checks \0 to \9, which are the groups of a pattern, and \\.
func checkSubstitute(pattern, s string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	if err := checkURLPart(s); err != nil {
		return err
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(s) || s[i] != '\\' && (s[i] < '0' || s[i] > '9'):
			return errors.New(`a backslash must be followed by the number of a group, or by a backslash`)
		case s[i] != '\\' && int(s[i]-'0') > re.NumSubexp():
			return fmt.Errorf("the pattern has no group %c", s[i])
		}
	}
	return nil
}
