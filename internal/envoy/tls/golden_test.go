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
	golden.Messages(t, map[string]func() golden.Message{
		"certificate": func() golden.Message { return Certificate(credential) },
		"client-ca":   func() golden.Message { return ClientCA(credential) },
	})
}
