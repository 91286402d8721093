// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
)

const id = "spiffe://cluster.local/ns/shop/sa/reviews"

// authority signs what it is asked to, until err is set.
type authority struct {
	mu        sync.Mutex
	root      *x509.Certificate
	key       *ecdsa.PrivateKey
	err       error
	asked     []time.Time
	uri       string
	hideRoot  bool
	otherKey  bool
	wrongTTL  time.Duration
	lastAsked time.Duration
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{root: root, key: key, uri: id}
}

// fail makes every request fail from now on, or succeed with nil.
func (a *authority) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *authority) rootPEM() []byte { return encode(nil, a.root) }

func (a *authority) Sign(_ context.Context, request []byte, ttl time.Duration) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, time.Now())
	a.lastAsked = ttl
	if a.err != nil {
		return nil, a.err
	}
	block, _ := pem.Decode(request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	uri, err := url.Parse(a.uri)
	if err != nil {
		return nil, err
	}
	if a.wrongTTL != 0 {
		ttl = a.wrongTTL
	}
	public := csr.PublicKey
	if a.otherKey {
		public = &a.key.PublicKey
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(a.asked))), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(ttl), URIs: []*url.URL{uri},
	}, a.root, public, a.key)
	if err != nil {
		return nil, err
	}
	chain := []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	if !a.hideRoot {
		chain = append(chain, string(a.rootPEM()))
	}
	return chain, nil
}

type watcher struct {
	published []*Material
	results   []error
}

func keeper(t *testing.T, signer Signer, roots []byte) (*Keeper, *watcher, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.pem")
	if roots != nil {
		write(t, file, roots)
	}
	w := &watcher{}
	return NewKeeper(Options{
		Signer: signer, RootFile: file, TTL: 24 * time.Hour, Expected: id, Log: logr.Discard(),
		Publish: func(m *Material) { w.published = append(w.published, m) },
		Observe: func(err error) { w.results = append(w.results, err) },
	}), w, file
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRenewsAtHalfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "root")
		k, w, _ := keeper(t, a, a.rootPEM())
		ctx, cancel := context.WithCancel(t.Context())
		go k.Run(ctx)
		time.Sleep(10 * 24 * time.Hour)
		cancel()
		synctest.Wait()
		if n := len(a.asked); n < 17 || n > 23 {
			t.Errorf("%d certificates in ten days of 24 h lifetimes, want about 20", n)
		}
		for i := 1; i < len(a.asked); i++ {
			if gap := a.asked[i].Sub(a.asked[i-1]); gap < 10*time.Hour || gap > 14*time.Hour {
				t.Errorf("renewal %d came after %s, want 12 h and a tenth more or less", i, gap)
			}
		}
		if a.lastAsked != 24*time.Hour {
			t.Errorf("asked for %s", a.lastAsked)
		}
		if bytes.Equal(w.published[0].Key, w.published[1].Key) {
			t.Error("the key was used for two certificates")
		}
		if got := k.Current(); got.ID != id || got != w.published[len(w.published)-1] {
			t.Errorf("current is %+v", got)
		}
	})
}

func TestKeepsLastGoodWhileControlPlaneIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "root")
		a.fail(errors.New("connection refused"))
		k, w, _ := keeper(t, a, a.rootPEM())
		go k.Run(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if k.Current() != nil || len(w.published) != 0 {
			t.Fatal("there is a certificate that nobody signed")
		}
		if n := len(a.asked); n < 6 || n > 14 {
			t.Errorf("%d attempts in the first minute", n)
		}
		a.fail(nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		<-k.First()
		good := k.Current()
		a.fail(errors.New("connection refused"))
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if k.Current() != good {
			t.Error("the last good certificate is gone")
		}
		a.fail(nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		if k.Current() == good || !k.Current().NotAfter.After(time.Now()) {
			t.Error("no new certificate although the control plane is back")
		}
	})
}

func TestRootFileChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newAuthority(t, "root"), newAuthority(t, "next root")
		k, w, file := keeper(t, a, a.rootPEM())
		go k.Run(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(w.published) != 1 {
			t.Fatalf("published %d times while nothing changed", len(w.published))
		}
		write(t, file, append(b.rootPEM(), a.rootPEM()...))
		time.Sleep(rootInterval)
		synctest.Wait()
		if len(w.published) != 2 {
			t.Fatalf("published %d times after the roots changed, want 2", len(w.published))
		}
		last := w.published[1]
		if want := append(b.rootPEM(), a.rootPEM()...); !bytes.Equal(last.Roots, want) {
			t.Errorf("roots:\n%s\nwant the two, each once:\n%s", last.Roots, want)
		}
		if !bytes.Equal(last.Key, w.published[0].Key) {
			t.Error("new roots must not cost a new certificate")
		}
		write(t, file, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
		time.Sleep(3 * rootInterval)
		synctest.Wait()
		if len(w.published) != 2 {
			t.Error("broken roots were published")
		}
	})
}

func TestRefusesBadAnswers(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*authority)
		want  string
	}{
		{"another key", func(a *authority) { a.otherKey = true }, "not for the key"},
		{"no SPIFFE id", func(a *authority) { a.uri = "https://example.org" }, "SPIFFE"},
		{"expired", func(a *authority) { a.wrongTTL = -time.Second }, "expired"},
		{"unknown root", func(a *authority) { a.hideRoot = true }, "does not lead to a root"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAuthority(t, "root")
			tt.spoil(a)
			k, w, _ := keeper(t, a, newAuthority(t, "other").rootPEM())
			if err := k.issue(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if len(w.published) != 0 {
				t.Error("a bad certificate was published")
			}
		})
	}
}

func TestChainHoldsNoRoot(t *testing.T) {
	a := newAuthority(t, "root")
	k, w, _ := keeper(t, a, nil)
	if err := k.issue(t.Context()); err != nil {
		t.Fatal(err)
	}
	chain, err := parseCertificates(w.published[0].Chain)
	if err != nil || len(chain) != 1 {
		t.Errorf("chain has %d certificates, %v; want the leaf alone", len(chain), err)
	}
	if !bytes.Equal(w.published[0].Roots, a.rootPEM()) {
		t.Error("without a mounted bundle the received root is the root")
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	for failures, bound := range map[int]time.Duration{1: firstRetry, 2: 2 * firstRetry, 5: 16 * firstRetry, 8: lastRetry, 1000: lastRetry} {
		for range 100 {
			if got := Backoff(failures); got < bound/2 || got > bound {
				t.Fatalf("Backoff(%d) = %s, want between %s and %s", failures, got, bound/2, bound)
			}
		}
	}
}

func TestControlPlaneNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	c := ControlPlane{Address: "127.0.0.1:1", RootFile: filepath.Join(dir, "root.pem"), TokenFile: filepath.Join(dir, "token")}
	expect := func(want string) {
		t.Helper()
		if _, err := c.Sign(t.Context(), nil, time.Hour); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	expect("root certificate")
	write(t, c.RootFile, []byte("nothing"))
	expect("holds no certificate")
	write(t, c.RootFile, newAuthority(t, "root").rootPEM())
	expect("service account token")
	write(t, c.TokenFile, []byte(" \n"))
	expect("is empty")
	write(t, c.TokenFile, []byte("secret-token"))
	expect("127.0.0.1:1")
	if _, err := c.Sign(t.Context(), nil, time.Hour); strings.Contains(err.Error(), "secret-token") {
		t.Errorf("the token is in the error: %v", err)
	}
}
