// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// SecretKey is a secret that a class of proxies asks for.
type SecretKey struct {
	Class  string
	Secret ir.SecretKey
}

// Compare orders by class, then secret.
func (k SecretKey) Compare(o SecretKey) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), k.Secret.Compare(o.Secret))
}

// clientSecrets is what a cluster asks for.
type clientSecrets struct {
	ir.ClientSecrets
	origins []ir.Origin
}

// deriveSecrets finds what clusters and listeners ask for.
func (m *Model) deriveSecrets(g *graph.Graph) {
	// Only proxies of one namespace may have a Secret: those of a gateway, and sidecars
	// that a policy selects. No other cluster is looked at.
	own := graph.NewIndex(g, "targets.ofClass", m.Targets, TargetKey.Compare, func(k TargetKey, _ *Target) []TargetKey {
		if !strings.HasPrefix(string(k.Layer), string(ir.ClassLayer(""))) {
			return nil
		}
		return []TargetKey{k}
	}).Keys()
	m.clientSecrets = graph.Derive(g, "clientSecrets", own, TargetKey.Compare,
		func(c *graph.Ctx, k TargetKey, _ struct{}, emit func(TargetKey, *clientSecrets)) {
			if t, ok := graph.Get(c, m.Targets, k); ok {
				m.secretsOf(c, k, t, emit)
			}
		})
	m.gatewayClientSecrets = graph.Derive(g, "gatewayClientSecrets", m.GatewayTargets, TargetKey.Compare, m.secretsOf)
	byKey := func(k TargetKey, s *clientSecrets) []SecretKey {
		var out []SecretKey
		for _, key := range s.All() {
			out = append(out, SecretKey{layerClass(k.Layer), key})
		}
		return out
	}
	m.secretClients = []*graph.Index[SecretKey, TargetKey, *clientSecrets]{
		graph.NewIndex(g, "clientSecrets.byKey", m.clientSecrets, SecretKey.Compare, byKey),
		graph.NewIndex(g, "gatewayClientSecrets.byKey", m.gatewayClientSecrets, SecretKey.Compare, byKey),
	}
	m.Secrets = graph.Union(g, "secrets", SecretKey.Compare,
		m.secretUsers.Keys(), m.secretClients[0].Keys(), m.secretClients[1].Keys())
}

// secretsOf is what the cluster of a target of one class asks for.
func (m *Model) secretsOf(c *graph.Ctx, k TargetKey, t *Target, emit func(TargetKey, *clientSecrets)) {
	tls := m.settingsOf(c, k, t).TLS
	class, ok := graph.Get(c, m.Classes.Table(), layerClass(k.Layer))
	if !ok || tls == nil || tls.Credential == "" {
		return
	}
	f := secretFinder{m: m, c: c, namespace: class.Namespace, name: tls.Credential}
	f.out.origins = shaping(m.policies(c, t.Choice), t, k.Cluster.Subset)
	if tls.Mode == ir.TLSMutual {
		f.certificate()
	}
	if !tls.InsecureSkipVerify {
		f.authority(tls.CRL)
	}
	emit(k, &f.out)
}

// secretFinder looks for the parts of a Secret and tells those who name it what is missing.
type secretFinder struct {
	m               *Model
	c               *graph.Ctx
	namespace, name string
	out             clientSecrets
}

func (f *secretFinder) certificate() {
	key := ir.ConfigKey{Namespace: f.namespace, Name: f.name}
	state, _ := graph.Get(f.c, f.m.credentialStates, key)
	part := state.Certificate
	switch {
	case !state.Exists:
		f.lacks(part, reasonCredentialNotFound, noSecret(key, "tls.crt and tls.key"))
	case part.Invalid != "":
		f.lacks(part, reasonCredentialInvalid, "Secret "+key.String()+": "+part.Invalid)
	case !part.Current:
		f.lacks(part, reasonCredentialInvalid, "Secret "+key.String()+" has neither tls.crt nor tls.key, which mode MUTUAL needs; add both")
	}
	f.out.Certificate = ir.SecretKey{Kind: ir.SecretCertificate, Credential: f.name}
}

// authority is in the Secret NAME-cacert, else in the one that is named.
func (f *secretFinder) authority(crl string) {
	var part credentialPart
	var exists bool
	for _, name := range authoritySecrets(f.name) {
		key := ir.ConfigKey{Namespace: f.namespace, Name: name}
		state, _ := graph.Get(f.c, f.m.credentialStates, key)
		f.out.CA = ir.SecretKey{Kind: ir.SecretCA, Credential: name, CRLFile: crl}
		part, exists = state.CA, state.Exists
		switch {
		case part.Invalid != "":
			f.lacks(part, reasonCredentialInvalid, "Secret "+key.String()+": "+part.Invalid)
			return
		case part.Current:
			return
		case part.Served:
			f.lacks(part, reasonCredentialNotFound, noSecret(key, "ca.crt"))
			return
		}
	}
	key := ir.ConfigKey{Namespace: f.namespace, Name: f.name}
	switch {
	case exists:
		f.lacks(part, reasonCredentialInvalid, "Secret "+key.String()+" has no ca.crt, by which servers are checked; add it")
	case !f.out.Missing: // else it was said already
		f.lacks(part, reasonCredentialNotFound, noSecret(key, "ca.crt"))
	}
}

func noSecret(key ir.ConfigKey, what string) string {
	return "there is no Secret " + key.String() + " with " + what + "; create it in the namespace of the proxies, which must be one of those whose Secrets are read"
}

// authoritySecrets is where the CA of servers is looked for.
func authoritySecrets(name string) []string { return []string{name + "-cacert", name} }

// lacks keeps the cluster from sending anything, unless what was good before is served:
// other roots would trust more servers than was meant.
func (f *secretFinder) lacks(part credentialPart, reason, message string) {
	f.out.Missing = f.out.Missing || !part.Served
	for _, o := range f.out.origins {
		f.c.Report(ir.Problem{
			Origin: o, Condition: ir.Programmed, Field: "tls.credentialName", Reason: reason,
			Message: part.effect("the host cannot be called from namespace "+f.namespace+": ") + message,
		})
	}
}

// clientCredentialNames is the Secrets that the clients of a policy name.
func clientCredentialNames(_ ir.ConfigKey, p *ir.TrafficPolicy) []string {
	var out []string
	for s := range p.AllSettings() {
		if s.TLS != nil && s.TLS.Credential != "" {
			out = append(out, authoritySecrets(s.TLS.Credential)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// secretsFor is what a cluster asks for; nil for nothing.
func (m *Model) secretsFor(c *graph.Ctx, k TargetKey, t *Target) *ir.ClientSecrets {
	table := m.clientSecrets
	if t.Gateway {
		table = m.gatewayClientSecrets
	}
	if s, ok := graph.Get(c, table, k); ok {
		return &s.ClientSecrets
	}
	return nil
}
