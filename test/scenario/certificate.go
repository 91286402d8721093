// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"time"
)

// pair is a self-signed certificate and its key, in PEM.
type pair struct{ certificate, key string }

// material is two pairs, so that a certificate can be renewed, and one that has expired.
var material = sync.OnceValue(func() [3]pair {
	return [3]pair{newPair(noon.Add(time.Hour)), newPair(noon.Add(time.Hour)), newPair(expiry)}
})

var expiry = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)

func newPair(notAfter time.Time) pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the system has no randomness
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "shop.example.com"},
		NotBefore:    expiry.AddDate(-1, 0, 0),
		NotAfter:     notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err) // the template is constant
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // the key was just made
	}
	return pair{
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}
}
