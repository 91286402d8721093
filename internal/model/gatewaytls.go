// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// GatewayListenerKey is a listener of a class of gateway proxies.
type GatewayListenerKey struct {
	Class string
	Name  string
}

// Compare orders by class, then name.
func (k GatewayListenerKey) Compare(o GatewayListenerKey) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), strings.Compare(k.Name, o.Name))
}

func (m *Model) deriveGatewayListeners(g *graph.Graph) {
	m.routesByStreamGateway = graph.NewIndex(g, "routes.byStreamGateway", m.settled, ir.ConfigKey.Compare,
		func(_ ir.ConfigKey, r *ir.Routes) []ir.ConfigKey {
			if len(r.TLS)+len(r.TCP) == 0 {
				return nil
			}
			return r.Gateways
		})
	m.GatewayListeners = graph.Derive(g, "gatewayListeners", m.GatewayViews, GatewayListenerKey.Compare,
		func(c *graph.Ctx, key string, v *GatewayView, emit func(GatewayListenerKey, *ir.GatewayListener)) {
			class, ok := graph.Get(c, m.Classes.Table(), key)
			if !ok {
				return
			}
			for i := range v.Ports {
				if l, ok := m.listener(c, key, class, &v.Ports[i]); ok {
					emit(GatewayListenerKey{key, l.Name()}, l)
				}
			}
		})
	m.secretUsers = graph.NewIndex(g, "gatewayListeners.bySecret", m.GatewayListeners, SecretKey.Compare,
		func(k GatewayListenerKey, l *ir.GatewayListener) []SecretKey {
			var out []SecretKey
			for t := range l.Terminations() {
				for _, s := range t.Secrets() {
					out = append(out, SecretKey{k.Class, s})
				}
			}
			return out
		})
}

// Secret is what a secret of a class is made of, and whose servers or clients use it.
// The credential is nil when the secret is files of the proxy.
func (m *Model) Secret(c *graph.Ctx, k SecretKey) (cred *ir.Credential, users []ir.Origin, ok bool) {
	class, ok := graph.Get(c, m.Classes.Table(), k.Class)
	if !ok {
		return nil, nil, false
	}
	for _, l := range graph.Each(c, m.secretUsers, k) {
		for t, origins := range l.Terminations() {
			if slices.Contains(t.Secrets(), k.Secret) {
				users = append(users, origins...)
			}
		}
	}
	for _, clients := range m.secretClients {
		for _, s := range graph.Each(c, clients, k) {
			users = append(users, s.origins...)
		}
	}
	slices.SortFunc(users, ir.Origin.Compare)
	users = slices.Compact(users)
	if k.Secret.Credential == "" {
		return nil, users, true
	}
	cred, ok = graph.Get(c, m.credentials, ir.ConfigKey{Namespace: class.Namespace, Name: k.Secret.Credential})
	return cred, users, ok
}

// chainTLS finds the secrets of a server in the namespace of the gateway's pods. A
// server without a certificate that can be used is reported and not served: it
// harms nobody but itself. One of two certificates is enough.
func (m *Model) chainTLS(c *graph.Ctx, mesh *ir.Mesh, namespace string, s *ir.Server) (*ir.ChainTLS, bool) {
	t := s.TLS
	out := t.Chain()
	if t.Mode == ir.ServerMesh {
		out.TrustDomain = mesh.TrustDomain
	}
	var missing, problems []ir.Problem
	for _, k := range t.Certificates {
		switch p, ok := m.certificate(c, namespace, s, k); {
		case !ok:
			missing = append(missing, p)
			continue
		case p.Reason != "":
			problems = append(problems, p)
		}
		out.Certificates = append(out.Certificates, k)
	}
	for _, p := range missing {
		if len(out.Certificates) > 0 {
			p.Severity = ir.Warning
			p.Message = strings.Replace(p.Message, notProgrammed, "the server has its other certificate only: ", 1)
		}
		problems = append(problems, p)
	}
	if t.AsksClients() {
		ca, p, ok := m.clientCA(c, namespace, s)
		if !ok {
			c.Report(p)
			return nil, false
		}
		if p.Reason != "" {
			problems = append(problems, p)
		}
		out.CA = ca
	}
	for _, p := range problems {
		c.Report(p)
	}
	return out, len(out.Certificates) > 0 || t.Mode == ir.ServerMesh
}

// certificate tells whether a server has the certificate, and what is wrong with it.
func (m *Model) certificate(c *graph.Ctx, namespace string, s *ir.Server, k ir.SecretKey) (ir.Problem, bool) {
	if k.Credential == "" {
		return ir.Problem{}, true // the proxy says whether it can read its files
	}
	key := ir.ConfigKey{Namespace: namespace, Name: k.Credential}
	state, _ := graph.Get(c, m.credentialStates, key)
	part := state.Certificate
	switch {
	case !state.Exists:
		return part.problem(s, reasonCredentialNotFound, "there is no Secret "+key.String()+
			" with tls.crt and tls.key; create it in the namespace of the gateway's pods"), part.Served
	case part.Invalid != "":
		return part.problem(s, reasonCredentialInvalid, "Secret "+key.String()+": "+part.Invalid), part.Served
	case !part.Current:
		return part.problem(s, reasonCredentialInvalid, "Secret "+key.String()+" has neither tls.crt nor tls.key; add both"), part.Served
	case part.Expired != "":
		return ir.Problem{
			Origin: s.Origin, Condition: ir.Programmed, Severity: ir.Warning, Field: "tls", Reason: "CredentialExpired",
			Message: "clients that check the certificate of Secret " + key.String() + " refuse it: " + part.Expired,
		}, true
	}
	return ir.Problem{}, true
}

// clientCA finds the CA of client certificates: the one that is named, else the one
// of the Secret NAME-cacert, else the one beside the certificate. One that is there
// goes before one that was.
func (m *Model) clientCA(c *graph.Ctx, namespace string, s *ir.Server) (ir.SecretKey, ir.Problem, bool) {
	t := s.TLS
	if t.CA.File != "" {
		out := t.CA
		out.CRLFile = t.CRLFile
		return out, ir.Problem{}, true
	}
	var found ir.SecretKey
	var problem ir.Problem
	for _, name := range clientCASecrets(t) {
		key := ir.ConfigKey{Namespace: namespace, Name: name}
		ca := ir.SecretKey{Kind: ir.SecretCA, Credential: name, CRLFile: t.CRLFile}
		state, _ := graph.Get(c, m.credentialStates, key)
		part := state.CA
		var p ir.Problem
		switch {
		case part.Invalid != "":
			return ca, part.problem(s, reasonCredentialInvalid, "Secret "+key.String()+": "+part.Invalid), part.Served
		case part.Current:
			return ca, ir.Problem{}, true
		case state.Exists:
			p = part.problem(s, reasonCredentialInvalid, "Secret "+key.String()+
				" has no ca.crt, which this tls.mode needs to check client certificates; add it")
		default:
			p = part.problem(s, reasonCredentialNotFound, "there is no Secret "+key.String()+
				" with ca.crt; create it in the namespace of the gateway's pods")
		}
		if found.IsZero() {
			problem = p
		}
		if found.IsZero() && part.Served {
			found = ca
		}
	}
	return found, problem, !found.IsZero()
}

// clientCASecrets is where the CA of client certificates is looked for.
func clientCASecrets(t *ir.ServerTLS) []string {
	switch {
	case !t.AsksClients() || t.CA.File != "":
		return nil
	case t.CA.IsZero():
		return []string{t.Certificates[0].Credential + "-cacert", t.Certificates[0].Credential}
	}
	return []string{t.CA.Credential}
}
