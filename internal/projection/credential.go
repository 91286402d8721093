// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// minRSABits is the shortest RSA key that Envoy takes.
const minRSABits = 2048

// credentialKeys is the names under which a Secret holds certificate, key, CA and
// revocation list: those of kubernetes.io/tls, and those of generic secrets; see
// https://istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress/#key-formats.
var credentialKeys = []struct{ certificate, key, ca, crl string }{
	{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, corev1.ServiceAccountRootCAKey, "ca.crl"},
	{"cert", "key", "cacert", "crl"},
}

// Secret projects a core/v1 Secret into a Credential. It is nil for a Secret that
// is no TLS material. now decides whether the certificate has expired.
func (s Scope) Secret(in *corev1.Secret, now time.Time) *ir.Credential {
	if in.Type != "" && in.Type != corev1.SecretTypeOpaque && in.Type != corev1.SecretTypeTLS {
		return nil
	}
	out := &ir.Credential{Key: configKey(&in.ObjectMeta)}
	found := false
	for _, names := range credentialKeys {
		certificate, key := in.Data[names.certificate], in.Data[names.key]
		ca, crl := in.Data[names.ca], in.Data[names.crl]
		if len(certificate)+len(key)+len(ca)+len(crl) == 0 {
			continue
		}
		found = true
		if len(certificate)+len(key) > 0 && len(out.Certificate) == 0 && out.Invalid == "" {
			if leaf, err := checkPair(certificate, key); err != nil {
				out.Invalid = err.Error()
			} else {
				out.Certificate, out.PrivateKey = certificate, ir.PrivateBytes(key)
				if now.After(leaf.NotAfter) {
					out.Expired = fmt.Sprintf("certificate expired at %s; renew it", leaf.NotAfter.UTC().Format(time.RFC3339))
				}
			}
		}
		if len(ca)+len(crl) > 0 && len(out.CA) == 0 && out.InvalidCA == "" {
			if err := checkAuthorities(ca, crl); err != nil {
				out.InvalidCA = err.Error()
			} else {
				out.CA, out.CRL = ca, crl
			}
		}
	}
	if !found {
		return nil
	}
	return out
}

// checkPair is the certificate of a pair that fits together.
func checkPair(certificate, key []byte) (*x509.Certificate, error) {
	switch {
	case len(certificate) == 0:
		return nil, errors.New("has a key but no certificate; add it")
	case len(key) == 0:
		return nil, errors.New("has a certificate but no key; add it")
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		// The errors of crypto/tls name what is wrong and never hold key material.
		return nil, fmt.Errorf("certificate and key cannot be used: %w", err)
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("certificate cannot be parsed: %w", err)
		}
	}
	if public, ok := leaf.PublicKey.(*rsa.PublicKey); ok && public.N.BitLen() < minRSABits {
		return nil, fmt.Errorf("the RSA key has %d bits; at least %d are needed", public.N.BitLen(), minRSABits)
	}
	return leaf, nil
}

func checkAuthorities(ca, crl []byte) error {
	if len(ca) == 0 {
		return errors.New("has a revocation list but no CA; add it")
	}
	if err := checkCA(ca); err != nil {
		return err
	}
	if len(crl) > 0 {
		return checkCRL(crl)
	}
	return nil
}

func checkCA(bundle []byte) error {
	found := false
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("CA certificate cannot be parsed: %w", err)
		}
		found = true
	}
	if !found {
		return errors.New("the CA holds no PEM certificate")
	}
	return nil
}

func checkCRL(list []byte) error {
	found := false
	for rest := list; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return fmt.Errorf("revocation list cannot be parsed: %w", err)
		}
		found = true
	}
	if !found {
		return errors.New("the revocation list holds no PEM list")
	}
	return nil
}
