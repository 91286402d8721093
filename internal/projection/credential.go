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

// credentialKeys is the names under which a Secret holds certificate, key and CA:
// those of kubernetes.io/tls, and those of generic secrets; see
// https://istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress/#key-formats.
var credentialKeys = []struct{ certificate, key, ca string }{
	{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, corev1.ServiceAccountRootCAKey},
	{"cert", "key", "cacert"},
}

// Secret projects a core/v1 Secret into a Credential. It is nil for a Secret that
// is no TLS material. now decides whether the certificate has expired.
func (s Scope) Secret(in *corev1.Secret, now time.Time) *ir.Credential {
	if in.Type != "" && in.Type != corev1.SecretTypeOpaque && in.Type != corev1.SecretTypeTLS {
		return nil
	}
	for _, names := range credentialKeys {
		certificate, key, ca := in.Data[names.certificate], in.Data[names.key], in.Data[names.ca]
		if len(certificate) == 0 && len(key) == 0 && len(ca) == 0 {
			continue
		}
		out := &ir.Credential{Key: configKey(&in.ObjectMeta)}
		if err := checkCredential(certificate, key, ca, now); err != nil {
			out.Invalid = err.Error()
			return out
		}
		out.Certificate, out.PrivateKey, out.CA = certificate, ir.PrivateBytes(key), ca
		return out
	}
	return nil
}

func checkCredential(certificate, key, ca []byte, now time.Time) error {
	if len(ca) > 0 {
		if err := checkCA(ca); err != nil {
			return err
		}
	}
	switch {
	case len(certificate) == 0 && len(key) == 0:
		return errors.New("has a CA but neither certificate nor key; add both")
	case len(certificate) == 0:
		return errors.New("has a key but no certificate; add it")
	case len(key) == 0:
		return errors.New("has a certificate but no key; add it")
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		// The errors of crypto/tls name what is wrong and never hold key material.
		return fmt.Errorf("certificate and key cannot be used: %w", err)
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return fmt.Errorf("certificate cannot be parsed: %w", err)
		}
	}
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("certificate expired at %s; renew it", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if public, ok := leaf.PublicKey.(*rsa.PublicKey); ok && public.N.BitLen() < minRSABits {
		return fmt.Errorf("the RSA key has %d bits; at least %d are needed", public.N.BitLen(), minRSABits)
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
