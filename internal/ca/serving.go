// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"sync"
	"time"
)

// servingLife is how long a serving certificate is valid. It never leaves the process, so it can be short.
const servingLife = 24 * time.Hour

// Serving makes the certificate of one of the control plane's own servers, keeps it in memory and replaces it at half
// of its life, at the first handshake after that. It is safe for concurrent use.
type Serving struct {
	authority *Authority
	names     []string

	mu      sync.Mutex
	current *tls.Certificate
	renew   time.Time
}

// NewServing serves for the DNS names and IP addresses.
func NewServing(authority *Authority, names ...string) *Serving {
	return &Serving{authority: authority, names: names}
}

// Certificate is what tls.Config.GetCertificate wants. When a renewal fails it goes on with the certificate at hand
// until that one ends.
func (s *Serving) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.authority.now()
	if s.current != nil && now.Before(s.renew) {
		return s.current, nil
	}
	fresh, err := s.make()
	if err != nil {
		if s.current != nil && now.Before(s.current.Leaf.NotAfter) {
			return s.current, nil
		}
		return nil, fmt.Errorf("make the serving certificate for %v: %w", s.names, err)
	}
	s.current, s.renew = fresh, now.Add(fresh.Leaf.NotAfter.Sub(now)/2)
	return fresh, nil
}

func (s *Serving) make() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	der, err := s.authority.issue(key.Public(), serverNames(s.names), servingLife)
	if err != nil {
		return nil, err
	}
	leaf, err := parseCertificates("serving certificate", encodePEM("CERTIFICATE", der))
	if err != nil {
		return nil, err
	}
	out := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf[0]}
	for _, c := range s.authority.bundle.between() {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out, nil
}

// TLS is the server side configuration without client certificates.
func (s *Serving) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Certificate}
}

// MutualTLS is the server side configuration that verifies a client certificate of this mesh when one is given. Callers
// that have none yet, which come to get their first, are let in; what they may call is the service's decision.
func (s *Serving) MutualTLS() *tls.Config {
	config := s.TLS()
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.ClientCAs = s.authority.bundle.Pool()
	return config
}
