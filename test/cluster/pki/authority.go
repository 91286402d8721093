// SPDX-License-Identifier: Apache-2.0

// Package pki makes the certificates of a local test cluster.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/meshwright/meshwright/test/cluster/host"
)

// lifetime of every certificate: longer than anybody keeps a test cluster.
const lifetime = 5 * 365 * 24 * time.Hour

// Authority signs certificates for one cluster and keeps them in a directory
// as NAME.crt and NAME.key.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// Identity is what a certificate says about its holder.
type Identity struct {
	// Name is the common name: the Kubernetes user name.
	Name string
	// Groups are the organizations: the Kubernetes groups.
	Groups []string
	// DNS and IPs are the names of a server.
	DNS []string
	IPs []netip.Addr
}

// Open reads the authority of the directory dir, making a new one when there
// is none.
func Open(dir, name string) (*Authority, error) {
	a := &Authority{dir: dir}
	certPEM, certErr := os.ReadFile(a.CertFile("ca"))
	keyPEM, keyErr := os.ReadFile(a.KeyFile("ca"))
	if certErr == nil && keyErr == nil {
		var err error
		if a.cert, err = parseCertificate(certPEM); err == nil {
			if a.key, err = parseKey(keyPEM); err == nil {
				a.pem = certPEM
				return a, nil
			}
		}
	}
	return a, a.create(name)
}

func (a *Authority) create(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of the cluster's authority: %w", err)
	}
	template, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make the certificate of the cluster's authority: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("read back the certificate of the cluster's authority: %w", err)
	}
	a.key, a.pem = key, encode("CERTIFICATE", der)
	return a.write("ca", a.pem, key)
}

// CertPEM is the authority's certificate.
func (a *Authority) CertPEM() []byte { return a.pem }

// CertFile is the path of the certificate called name.
func (a *Authority) CertFile(name string) string { return filepath.Join(a.dir, name+".crt") }

// KeyFile is the path of the private key called name.
func (a *Authority) KeyFile(name string) string { return filepath.Join(a.dir, name+".key") }

// Ensure makes the certificate called name unless there is one of this
// authority for the same identity.
func (a *Authority) Ensure(name string, id Identity) error {
	if a.matches(name, id) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of %s: %w", name, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: id.Name, Organization: id.Groups})
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.DNSNames = id.DNS
	for _, ip := range id.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	return a.write(name, encode("CERTIFICATE", der), key)
}

func (a *Authority) matches(name string, id Identity) bool {
	certPEM, err := os.ReadFile(a.CertFile(name))
	if err != nil {
		return false
	}
	if _, err := os.Stat(a.KeyFile(name)); err != nil {
		return false
	}
	cert, err := parseCertificate(certPEM)
	if err != nil || cert.CheckSignatureFrom(a.cert) != nil || time.Until(cert.NotAfter) < lifetime/10 {
		return false
	}
	var have Identity
	have.Name, have.Groups, have.DNS = cert.Subject.CommonName, cert.Subject.Organization, cert.DNSNames
	for _, ip := range cert.IPAddresses {
		addr, _ := netip.AddrFromSlice(ip)
		have.IPs = append(have.IPs, addr.Unmap())
	}
	return fmt.Sprint(have) == fmt.Sprint(id)
}

// EnsureSigningKey makes the key pair that service account tokens are signed
// with: name.key and name.pub. RSA, because the tokens' readers all know it.
func (a *Authority) EnsureSigningKey(name string) error {
	if _, err := os.Stat(filepath.Join(a.dir, name+".pub")); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make the signing key of service accounts: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode the public key of service accounts: %w", err)
	}
	private := encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	if err := host.WriteFile(a.KeyFile(name), private, 0o600); err != nil {
		return err
	}
	return host.WriteFile(filepath.Join(a.dir, name+".pub"), encode("PUBLIC KEY", public), 0o644)
}

// write stores the key first: a certificate without its key would be taken
// for complete.
func (a *Authority) write(name string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key of %s: %w", name, err)
	}
	if err := os.Remove(a.CertFile(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace the certificate of %s: %w", name, err)
	}
	if err := host.WriteFile(a.KeyFile(name), encode("EC PRIVATE KEY", der), 0o600); err != nil {
		return err
	}
	return host.WriteFile(a.CertFile(name), cert, 0o644)
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime),
	}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a PEM key")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}
