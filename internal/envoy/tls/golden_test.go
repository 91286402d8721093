// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"testing"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/golden"
)

func TestGolden(t *testing.T) {
	credential := &ir.Credential{
		Key:         ir.ConfigKey{Namespace: "books", Name: "shop"},
		Certificate: []byte("the certificate"), PrivateKey: ir.PrivateBytes("the key"), CA: []byte("the authority"),
	}
	certificate := ir.SecretKey{Kind: ir.SecretCertificate, Credential: "shop"}
	authority := ir.SecretKey{Kind: ir.SecretCA, Credential: "shop"}
	revoked := *credential
	revoked.CRL = []byte("the list")
	golden.Messages(t, map[string]func() golden.Message{
		"certificate":   func() golden.Message { return Secret(certificate, credential) },
		"client-ca":     func() golden.Message { return Secret(authority, credential) },
		"client-ca-crl": func() golden.Message { return Secret(authority, &revoked) },
		"client-ca-crl-file": func() golden.Message {
			k := authority
			k.CRLFile = "/etc/tls/list.pem"
			return Secret(k, credential)
		},
		"files": func() golden.Message {
			return Secret(ir.SecretKey{Kind: ir.SecretCertificate, File: "/etc/tls/tls.crt", KeyFile: "/etc/tls/tls.key"}, nil)
		},
		"files-ca": func() golden.Message {
			return Secret(ir.SecretKey{Kind: ir.SecretCA, File: "/etc/tls/ca.crt", CRLFile: "/etc/tls/list.pem"}, nil)
		},
	})
}
