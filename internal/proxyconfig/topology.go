// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxTrustedProxies bounds the hops that are believed; real chains have a few.
const maxTrustedProxies = 64

// HTTP10 is the variable that has a proxy take requests of HTTP/1.0.
const HTTP10 = "ISTIO_META_HTTP10"

// forwardings is what proxies do with x-forwarded-client-cert, as users write it.
var forwardings = map[string]ir.ClientCertForwarding{
	"SANITIZE": ir.CertSanitize, "FORWARD_ONLY": ir.CertForward, "APPEND_FORWARD": ir.CertAppendForward,
	"SANITIZE_SET": ir.CertSanitizeSet, "ALWAYS_FORWARD_ONLY": ir.CertAlwaysForward,
}

// forwarding reads one of them; UNDEFINED is none, and stands for what is usual.
func forwarding(field, word string) (how ir.ClientCertForwarding, set bool, err error) {
	if word == "" || word == "UNDEFINED" {
		return 0, false, nil
	}
	if how, set = forwardings[word]; !set {
		err = fmt.Errorf("%s: %q is none of UNDEFINED, %s", field, word, strings.Join(slices.Sorted(maps.Keys(forwardings)), ", "))
	}
	return how, set, err
}

func parseTopology(s *Settings, text []byte) error {
	var in struct {
		NumTrustedProxies        uint32    `json:"numTrustedProxies"`
		ForwardClientCertDetails string    `json:"forwardClientCertDetails"`
		ProxyProtocol            *struct{} `json:"proxyProtocol"`
	}
	if err := strict(text, &in); err != nil {
		return err
	}
	how, _, err := forwarding("forwardClientCertDetails", in.ForwardClientCertDetails)
	if in.NumTrustedProxies > maxTrustedProxies {
		err = errors.Join(err, fmt.Errorf("numTrustedProxies: %d is more than %d", in.NumTrustedProxies, maxTrustedProxies))
	}
	if err == nil {
		s.Topology = &ir.EdgeTopology{TrustedProxies: in.NumTrustedProxies, ClientCert: how, ProxyProtocol: in.ProxyProtocol != nil}
	}
	return err
}

// toggle is a field with one switch.
type toggle struct {
	Disabled bool `json:"disabled"`
	Enabled  bool `json:"enabled"`
}

// certParts is what is told of a client's certificate; what is not said is as usual.
type certParts struct {
	Subject *bool `json:"subject"`
	Cert    bool  `json:"cert"`
	Chain   bool  `json:"chain"`
	DNS     *bool `json:"dns"`
	URI     *bool `json:"uri"`
}

func (p *certParts) row() ir.CertParts {
	off := func(b *bool) bool { return b != nil && !*b }
	return ir.CertParts{NoSubject: off(p.Subject), NoURI: off(p.URI), NoDNS: off(p.DNS), Cert: p.Cert, Chain: p.Chain}
}

func parseHeaders(s *Settings, text []byte) error {
	var in struct {
		ForwardedClientCert     string `json:"forwardedClientCert"`
		PreserveHTTP1HeaderCase bool   `json:"preserveHttp1HeaderCase"`
		Server                  struct {
			Disabled bool   `json:"disabled"`
			Value    string `json:"value"`
		} `json:"server"`
		RequestID         toggle    `json:"requestId"`
		EnvoyDebugHeaders toggle    `json:"envoyDebugHeaders"`
		XForwardedPort    toggle    `json:"xForwardedPort"`
		XForwardedHost    toggle    `json:"xForwardedHost"`
		AttemptCount      toggle    `json:"attemptCount"`
		Details           certParts `json:"setCurrentClientCertDetails"`
		Exchange          struct {
			Mode string `json:"mode"`
		} `json:"metadataExchangeHeaders"`
	}
	if err := strict(text, &in); err != nil {
		return err
	}
	how, set, err := forwarding("forwardedClientCert", in.ForwardedClientCert)
	if strings.ContainsAny(in.Server.Value, "\x00\r\n") {
		err = errors.Join(err, errors.New("server.value: is no value of a header"))
	}
	if mode := in.Exchange.Mode; mode != "" && mode != "UNDEFINED" && mode != "IN_MESH" { // both hold: there are no such headers
		err = errors.Join(err, fmt.Errorf("metadataExchangeHeaders.mode: %q is none of UNDEFINED, IN_MESH", mode))
	}
	if err != nil {
		return err
	}
	s.Dialect = &ir.Dialect{
		PreserveCase: in.PreserveHTTP1HeaderCase, NoRequestID: in.RequestID.Disabled, NoEnvoyTimes: in.EnvoyDebugHeaders.Disabled,
		TellPort: in.XForwardedPort.Enabled, TellHost: in.XForwardedHost.Enabled, NoAttempts: in.AttemptCount.Disabled,
		ClientCert: how, ClientCertSet: set, CertParts: in.Details.row(),
	}
	if !in.Server.Disabled {
		s.Dialect.Server = in.Server.Value
	}
	return nil
}

// TakesHTTP10 tells whether the proxies take requests of HTTP/1.0.
func (s Settings) TakesHTTP10() bool { return IsTrue(s.Environment[HTTP10]) }

// IsTrue reads the value of a variable that is a switch.
func IsTrue(value string) bool {
	on, err := strconv.ParseBool(value)
	return err == nil && on
}
