// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	security "istio.io/api/security/v1beta1"

	"github.com/meshwright/meshwright/internal/ir"
)

const (
	maxKeysURI = 2048
	// keysTimeout is for how long keys are waited for where nothing is said.
	keysTimeout = 5 * time.Second
	// maxKeysTimeout bounds it: a request whose issuer has no keys yet waits as long.
	maxKeysTimeout = time.Minute
)

// source projects where proxies get the keys of an issuer.
func (r *requestAuthentication) source(at path, in *security.JWTRule) ir.KeysSource {
	here := at.field("jwksUri")
	out, err := keysSource(in.GetJwksUri())
	switch {
	case err != nil:
		r.notes.invalid(here, "%v", err)
	case !out.TLS:
		r.notes.warn(ReasonUnsafe, here, "gets the keys in plaintext: who can change them on the way can sign tokens; use https")
	}
	out.Timeout = keysTimeout
	if in.GetTimeout() != nil {
		d, err := duration(in.GetTimeout())
		switch {
		case err != nil:
			r.notes.invalid(at.field("timeout"), "timeout %v", err)
		case d > maxKeysTimeout:
			r.notes.invalid(at.field("timeout"), "timeout %v must be at most %v", d, maxKeysTimeout)
		}
		out.Timeout = d
	}
	return out
}

// keysSource reads a URI of a key set. Errors do not repeat it: it may have a password.
func keysSource(text string) (ir.KeysSource, error) {
	if len(text) > maxKeysURI {
		return ir.KeysSource{}, errors.New("is longer than " + strconv.Itoa(maxKeysURI) + " bytes")
	}
	if err := checkURLPart(text); err != nil {
		return ir.KeysSource{}, err
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Opaque != "", u.Scheme != "http" && u.Scheme != "https":
		return ir.KeysSource{}, errors.New("must be a URI that begins with https://HOST")
	case u.User != nil:
		return ir.KeysSource{}, errors.New("must not have a user or a password: keys are public")
	case u.Fragment != "":
		return ir.KeysSource{}, errors.New("must not have a fragment")
	}
	out := ir.KeysSource{URI: text, Host: strings.ToLower(u.Hostname()), TLS: u.Scheme == "https", Port: 80}
	if out.TLS {
		out.Port = 443
	}
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return ir.KeysSource{}, errors.New("must have a port from 1 to 65535, or none")
		}
		out.Port = uint16(port)
	}
	if _, err := netip.ParseAddr(out.Host); err == nil {
		if out.TLS {
			return ir.KeysSource{}, errors.New("must have a name, which the server's certificate is checked for, and no address")
		}
		return out, nil
	}
	if err := checkName(out.Host); err != nil {
		return ir.KeysSource{}, err
	}
	return out, nil
}
