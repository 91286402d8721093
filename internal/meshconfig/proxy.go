// SPDX-License-Identifier: Apache-2.0

package meshconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Normalizations of paths. NormalizeDefault is NormalizeBase.
const (
	NormalizeDefault               = "DEFAULT"
	NormalizeNone                  = "NONE"
	NormalizeBase                  = "BASE"
	NormalizeMergeSlashes          = "MERGE_SLASHES"
	NormalizeDecodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES"
)

// PathNormalization has one of the normalizations; empty means NormalizeDefault.
type PathNormalization struct {
	Normalization string `json:"normalization,omitempty"`
}

func (p PathNormalization) check(at string) []error {
	return oneOf(at+".normalization", p.Normalization,
		NormalizeDefault, NormalizeNone, NormalizeBase, NormalizeMergeSlashes, NormalizeDecodeAndMergeSlashes)
}

// What gateways do with x-forwarded-client-cert. ForwardUndefined is ForwardSanitizeSet.
const (
	ForwardUndefined     = "UNDEFINED"
	ForwardSanitize      = "SANITIZE"
	ForwardOnly          = "FORWARD_ONLY"
	ForwardAppend        = "APPEND_FORWARD"
	ForwardSanitizeSet   = "SANITIZE_SET"
	ForwardAlwaysForward = "ALWAYS_FORWARD_ONLY"
)

// maxTrustedProxies bounds the hops that are believed; real chains have a few.
const maxTrustedProxies = 64

// GatewayTopology is what stands between gateways and their clients.
type GatewayTopology struct {
	// NumTrustedProxies is how many proxies in front of a gateway are believed about the client's address.
	NumTrustedProxies uint32 `json:"numTrustedProxies,omitempty"`
	// ForwardClientCertDetails is one of the constants; empty means ForwardUndefined.
	ForwardClientCertDetails string `json:"forwardClientCertDetails,omitempty"`
	// ProxyProtocol, when it is there, says that connections begin with a header of the PROXY protocol.
	ProxyProtocol *ProxyProtocol `json:"proxyProtocol,omitempty"`
}

// ProxyProtocol has no settings.
type ProxyProtocol struct{}

func (g GatewayTopology) check(at string) []error {
	errs := oneOf(at+".forwardClientCertDetails", g.ForwardClientCertDetails,
		ForwardUndefined, ForwardSanitize, ForwardOnly, ForwardAppend, ForwardSanitizeSet, ForwardAlwaysForward)
	if g.NumTrustedProxies > maxTrustedProxies {
		errs = append(errs, fmt.Errorf("%s.numTrustedProxies: %d is more than %d", at, g.NumTrustedProxies, maxTrustedProxies))
	}
	return errs
}

// takeTopology parts gatewayTopology from the rest of a ProxyConfig.
func takeTopology(text []byte) (out GatewayTopology, rest []byte, err error) {
	const field = "gatewayTopology"
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields[field] == nil {
		return out, text, nil // who reads the rest tells what is wrong
	}
	decoder := json.NewDecoder(bytes.NewReader(fields[field]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		return out, nil, fmt.Errorf("%s: %w", field, err)
	}
	delete(fields, field)
	rest, err = json.Marshal(fields)
	return out, rest, err
}

func oneOf(at, value string, values ...string) []error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return []error{fmt.Errorf("%s: %q is none of %s", at, value, strings.Join(values, ", "))}
}
