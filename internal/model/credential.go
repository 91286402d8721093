// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// credentialState is what of a Secret decides whether it can be used. A renewed
// certificate leaves it as it was, so that no listener and no cluster is looked at.
type credentialState struct {
	Exists          bool
	Certificate, CA credentialPart
}

// credentialPart is the certificate of a Secret, or its CA.
type credentialPart struct {
	Current bool   // the Secret has it
	Served  bool   // servers have it: the Secret's, or what it last was
	Invalid string // why that of the Secret cannot be used
	Expired string // certificates that are served all the same
}

const notProgrammed = "the server is not programmed: "

const (
	reasonCredentialNotFound = "CredentialNotFound"
	reasonCredentialInvalid  = "CredentialInvalid"
)

// problem says what is wrong with the part, and what becomes of the server.
func (p credentialPart) problem(s *ir.Server, reason, message string) ir.Problem {
	return ir.Problem{Origin: s.Origin, Condition: ir.Programmed, Field: "tls", Reason: reason, Message: p.effect(notProgrammed) + message}
}

// effect is what becomes of those who need the part.
func (p credentialPart) effect(without string) string {
	if p.Served {
		return "what was good before is served as long as the control plane runs: "
	}
	return without
}

// deriveCredentials keeps certificates and CAs as they last were good while a
// Gateway or a DestinationRule names their Secret: one that is broken, deleted or replaced by an expired
// one takes nothing away, neither from proxies that run nor from those that start.
// What is served on is gone when nothing names it.
//
// Only what was good before can stay, so a control plane that starts at such a
// moment has nothing to serve; of an expired certificate it serves what there is,
// for clients to judge.
func (m *Model) deriveCredentials(g *graph.Graph) {
	byName := graph.NewIndex(g, "credentials.byName", m.Credentials.Table(), strings.Compare,
		func(k ir.ConfigKey, _ *ir.Credential) []string { return []string{k.Name} })
	named := graph.Union(g, "credentialsNamed", strings.Compare,
		graph.NewIndex(g, "gateways.byCredential", m.Gateways.Table(), strings.Compare, credentialNames).Keys(),
		graph.NewIndex(g, "ingressGateways.byCredential", m.ingressGateways, strings.Compare, credentialNames).Keys(),
		graph.NewIndex(g, "policies.byCredential", m.Policies.Table(), strings.Compare, clientCredentialNames).Keys())
	m.credentials = graph.Derive(g, "credentialsKept", named, ir.ConfigKey.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(ir.ConfigKey, *ir.Credential)) {
			before := map[ir.ConfigKey]*ir.Credential{}
			standing := graph.Standing[ir.ConfigKey, *ir.Credential](c)
			for _, row := range standing {
				before[row.Key] = row.Value
			}
			for k, now := range graph.Each(c, byName, name) {
				emit(k, keep(before[k], now))
				delete(before, k)
			}
			for _, row := range standing {
				if was := before[row.Key]; was != nil && len(was.Certificate)+len(was.CA) > 0 {
					emit(row.Key, keep(was, &ir.Credential{Key: row.Key}))
				}
			}
		})
	m.credentialStates = graph.Derive(g, "credentialStates", m.credentials, ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, kept *ir.Credential, emit func(ir.ConfigKey, credentialState)) {
			now, exists := graph.Get(c, m.Credentials.Table(), k)
			if !exists {
				now = &ir.Credential{}
			}
			state := credentialState{
				Exists: exists,
				Certificate: credentialPart{
					Current: len(now.Certificate) > 0, Served: len(kept.Certificate) > 0, Invalid: now.Invalid, Expired: now.Expired,
				},
				CA: credentialPart{Current: len(now.CA) > 0, Served: len(kept.CA) > 0, Invalid: now.InvalidCA},
			}
			if replacesWorse(kept, now) {
				state.Certificate.Invalid = now.Expired
			}
			emit(k, state)
		})
}

// keep is a Secret with the parts that are good, and those that were where they are
// not. Before is nil for one that is new.
func keep(before, now *ir.Credential) *ir.Credential {
	if before == nil {
		return now
	}
	out := *now
	if len(now.Certificate) == 0 || replacesWorse(before, now) {
		out.Certificate, out.PrivateKey, out.Expired = before.Certificate, before.PrivateKey, before.Expired
	}
	if len(now.CA) == 0 {
		out.CA, out.CRL = before.CA, before.CRL
	}
	return &out
}

// replacesWorse tells whether a certificate that was good is replaced by an expired one.
func replacesWorse(before, now *ir.Credential) bool {
	return now.Expired != "" && len(before.Certificate) > 0 && before.Expired == ""
}

// credentialNames is the Secrets that the servers of a Gateway name.
func credentialNames(_ ir.ConfigKey, gw *ir.Gateway) []string {
	var out []string
	for i := range gw.Servers {
		t := gw.Servers[i].TLS
		if t == nil {
			continue
		}
		for _, k := range t.Certificates {
			out = append(out, k.Credential)
		}
		out = append(out, clientCASecrets(t)...)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(name string) bool { return name == "" })
}
