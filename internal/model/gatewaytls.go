// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// credentialState is what of a Secret decides whether servers can use it. A renewed
// certificate leaves it as it was, so that no listener is looked at.
type credentialState struct {
	Certificate, CA    bool
	Invalid, InvalidCA string
}

// GatewayListenerKey is a listener of a class of gateway proxies.
type GatewayListenerKey struct {
	Class string
	Name  string
}

// Compare orders by class, then name.
func (k GatewayListenerKey) Compare(o GatewayListenerKey) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), strings.Compare(k.Name, o.Name))
}

// GatewaySecretKey is a secret that a class of gateway proxies asks for.
type GatewaySecretKey struct {
	Class  string
	Secret ir.SecretKey
}

// Compare orders by class, then secret.
func (k GatewaySecretKey) Compare(o GatewaySecretKey) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), k.Secret.Compare(o.Secret))
}

func (m *Model) deriveGatewayListeners(g *graph.Graph) {
	m.credentialStates = graph.Derive(g, "credentialStates", m.Credentials.Table(), ir.ConfigKey.Compare,
		func(_ *graph.Ctx, k ir.ConfigKey, in *ir.Credential, emit func(ir.ConfigKey, credentialState)) {
			emit(k, credentialState{len(in.Certificate) > 0, len(in.CA) > 0, in.Invalid, in.InvalidCA})
		})
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
				if l, ok := m.listener(c, class, &v.Ports[i]); ok {
					emit(GatewayListenerKey{key, l.Name()}, l)
				}
			}
		})
	m.secretUsers = graph.NewIndex(g, "gatewayListeners.bySecret", m.GatewayListeners, GatewaySecretKey.Compare,
		func(k GatewayListenerKey, l *ir.GatewayListener) []GatewaySecretKey {
			var out []GatewaySecretKey
			for t := range l.Terminations() {
				for _, s := range t.Secrets() {
					out = append(out, GatewaySecretKey{k.Class, s})
				}
			}
			return out
		})
	m.GatewaySecrets = m.secretUsers.Keys()
}

// Secret is what a secret of a gateway is made of, and whose servers use it. The
// credential is nil when the secret is files of the proxy.
func (m *Model) Secret(c *graph.Ctx, k GatewaySecretKey) (cred *ir.Credential, users []ir.Origin, ok bool) {
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
	slices.SortFunc(users, ir.Origin.Compare)
	users = slices.Compact(users)
	if k.Secret.Credential == "" {
		return nil, users, true
	}
	cred, ok = graph.Get(c, m.Credentials.Table(), ir.ConfigKey{Namespace: class.Namespace, Name: k.Secret.Credential})
	return cred, users, ok
}

// chainTLS finds the secrets of a server in the namespace of the gateway's pods. A
// server without a certificate that can be used is reported and not served: it
// harms nobody but itself. One of two certificates is enough.
func (m *Model) chainTLS(c *graph.Ctx, mesh *ir.Mesh, namespace string, s *ir.Server) (*ir.ChainTLS, bool) {
	t := s.TLS
	out := &ir.ChainTLS{
		Mode: t.Mode, MinVersion: t.MinVersion, MaxVersion: t.MaxVersion, CipherSuites: t.CipherSuites, Client: t.Client,
	}
	if t.Mode == ir.ServerMesh {
		out.TrustDomain = mesh.TrustDomain
	}
	var problems []ir.Problem
	for _, k := range t.Certificates {
		if p, bad := m.certificateProblem(c, namespace, s, k); bad {
			problems = append(problems, p)
		} else {
			out.Certificates = append(out.Certificates, k)
		}
	}
	if len(out.Certificates) > 0 {
		for i := range problems {
			problems[i].Severity = ir.Warning
			problems[i].Message = strings.Replace(problems[i].Message, notProgrammed, "the server has its other certificate only: ", 1)
		}
	}
	if t.AsksClients() {
		ca, p, bad := m.clientCA(c, namespace, s)
		if bad {
			c.Report(p)
			return nil, false
		}
		out.CA = ca
	}
	for _, p := range problems {
		c.Report(p)
	}
	return out, len(out.Certificates) > 0 || t.Mode == ir.ServerMesh
}

const notProgrammed = "the server is not programmed: "

func (m *Model) certificateProblem(c *graph.Ctx, namespace string, s *ir.Server, k ir.SecretKey) (ir.Problem, bool) {
	if k.Credential == "" {
		return ir.Problem{}, false // the proxy says whether it can read its files
	}
	key := ir.ConfigKey{Namespace: namespace, Name: k.Credential}
	state, exists := graph.Get(c, m.credentialStates, key)
	switch {
	case !exists:
		return credentialNotFound(s, "there is no Secret "+key.String()+
			" with tls.crt and tls.key; create it in the namespace of the gateway's pods"), true
	case state.Invalid != "":
		return credentialInvalid(s, "Secret "+key.String()+": "+state.Invalid), true
	case !state.Certificate:
		return credentialInvalid(s, "Secret "+key.String()+" has neither tls.crt nor tls.key; add both"), true
	}
	return ir.Problem{}, false
}

// clientCA finds the CA of client certificates: the one that is named, else the one
// of the Secret NAME-cacert, else the one beside the certificate.
func (m *Model) clientCA(c *graph.Ctx, namespace string, s *ir.Server) (ir.SecretKey, ir.Problem, bool) {
	t := s.TLS
	if t.CA.File != "" {
		out := t.CA
		out.CRLFile = t.CRLFile
		return out, ir.Problem{}, false
	}
	names := []string{t.CA.Credential}
	if t.CA.IsZero() {
		names = []string{t.Certificates[0].Credential + "-cacert", t.Certificates[0].Credential}
	}
	for i, name := range names {
		key := ir.ConfigKey{Namespace: namespace, Name: name}
		state, exists := graph.Get(c, m.credentialStates, key)
		last := i == len(names)-1
		switch {
		case state.InvalidCA != "":
			return ir.SecretKey{}, credentialInvalid(s, "Secret "+key.String()+": "+state.InvalidCA), true
		case state.CA:
			return ir.SecretKey{Kind: ir.SecretCA, Credential: name, CRLFile: t.CRLFile}, ir.Problem{}, false
		case last && !exists:
			return ir.SecretKey{}, credentialNotFound(s, "there is no Secret "+key.String()+
				" with ca.crt; create it in the namespace of the gateway's pods"), true
		case last:
			return ir.SecretKey{}, credentialInvalid(s, "Secret "+key.String()+
				" has no ca.crt, which this tls.mode needs to check client certificates; add it"), true
		}
	}
	return ir.SecretKey{}, ir.Problem{}, false
}

func credentialNotFound(s *ir.Server, message string) ir.Problem {
	return ir.Problem{
		Origin: s.Origin, Condition: ir.Programmed, Field: "tls", Reason: "CredentialNotFound", Message: notProgrammed + message,
	}
}

func credentialInvalid(s *ir.Server, message string) ir.Problem {
	return ir.Problem{
		Origin: s.Origin, Condition: ir.Programmed, Field: "tls", Reason: "CredentialInvalid", Message: notProgrammed + message,
	}
}
