// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fakeReviewer knows tokens of the form NAMESPACE:ACCOUNT[:POD]; it fails for "down".
type fakeReviewer struct {
	asked     atomic.Int32
	audiences []string
}

func (f *fakeReviewer) Create(_ context.Context, in *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	f.asked.Add(1)
	token := in.Spec.Token
	if strings.HasPrefix(token, "down") {
		return nil, fmt.Errorf("dial: refused while sending %s", token)
	}
	part := strings.Split(token, ":")
	if len(part) < 2 {
		return &authenticationv1.TokenReview{Status: authenticationv1.TokenReviewStatus{Error: "bad token " + token}}, nil
	}
	user := authenticationv1.UserInfo{Username: "system:serviceaccount:" + part[0] + ":" + part[1]}
	if part[0] == "user" {
		user.Username = "alice"
	}
	if len(part) == 3 {
		user.Extra = map[string]authenticationv1.ExtraValue{extraPod: {part[2]}}
	}
	return &authenticationv1.TokenReview{Status: authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: f.audiences, User: user}}, nil
}

func newTestService(t *testing.T) (*Service, *fakeReviewer, *clock) {
	t.Helper()
	a, c := newTestAuthority(t, 0)
	reviewer := &fakeReviewer{audiences: []string{TokenAudience}}
	return NewService(a, NewTokens(reviewer, c.now), "cluster.local", logr.Discard()), reviewer, c
}

func call(s *Service, authorization, csr string) (*securityv1alpha1.IstioCertificateResponse, error) {
	ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", authorization))
	return s.CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600})
}

func TestCreateCertificate(t *testing.T) {
	s, _, _ := newTestService(t)
	csr := string(request(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{}))
	out, err := call(s, "Bearer app:web:web-1", csr)
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, out.CertChain)
	if leaf.URIs[0].String() != "spiffe://cluster.local/ns/app/sa/web" || leaf.NotAfter.Sub(start) != time.Hour {
		t.Errorf("got %v until %s", leaf.URIs, leaf.NotAfter)
	}
}

func TestCreateCertificateRefuses(t *testing.T) {
	s, reviewer, _ := newTestService(t)
	csr := string(request(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{}))
	for name, c := range map[string]struct {
		authorization, csr string
		code               codes.Code
	}{
		"no scheme":      {"app:web", csr, codes.Unauthenticated},
		"another scheme": {"Basic app:web", csr, codes.Unauthenticated},
		"unknown token":  {"Bearer s3cret", csr, codes.Unauthenticated},
		"not an account": {"Bearer user:x", csr, codes.Unauthenticated},
		"odd name":       {"Bearer app:we/b", csr, codes.Unauthenticated},
		"giant token":    {"Bearer " + strings.Repeat("x", maxTokenBytes+1), csr, codes.Unauthenticated},
		"API away":       {"Bearer down-s3cret", csr, codes.Unavailable},
		"bad request":    {"Bearer app:web", "x", codes.InvalidArgument},
	} {
		out, err := call(s, c.authorization, c.csr)
		if status.Code(err) != c.code || out != nil {
			t.Errorf("%s: got %v, want %v", name, err, c.code)
		}
		if strings.Contains(fmt.Sprint(err), "s3cret") {
			t.Errorf("%s: the token is in the answer: %v", name, err)
		}
	}
	if _, err := s.CreateCertificate(context.Background(), &securityv1alpha1.IstioCertificateRequest{Csr: csr}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without metadata: %v", err)
	}
	reviewer.audiences = nil
	if _, err := call(s, "Bearer other:web", csr); status.Code(err) != codes.Unauthenticated {
		t.Errorf("an authenticator that knows no audiences: %v", err)
	}
}

func TestTokenErrorHidesToken(t *testing.T) {
	_, err := NewTokens(&fakeReviewer{}, nil).Authenticate(context.Background(), "down-s3cret")
	if err == nil || errors.Is(err, ErrUnauthenticated) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

func TestTokenAnswersAreRemembered(t *testing.T) {
	c := &clock{start}
	reviewer := &fakeReviewer{audiences: []string{TokenAudience}}
	tokens := NewTokens(reviewer, c.now)
	ask := func(token string, asked int32) {
		t.Helper()
		_, _ = tokens.Authenticate(context.Background(), token)
		if got := reviewer.asked.Load(); got != asked {
			t.Errorf("the API server was asked %d times, want %d", got, asked)
		}
	}
	ask("app:web", 1)
	ask("app:web", 1)
	ask("bad", 2)
	ask("bad", 2)
	c.at = start.Add(refusalLife)
	ask("bad", 3)
	ask("app:web", 3)
	c.at = start.Add(tokenLife)
	ask("app:web", 4)
	// What could not be asked is not remembered.
	ask("down", 5)
	ask("down", 6)
	for i := range maxTokens * 2 {
		_, _ = tokens.Authenticate(context.Background(), fmt.Sprintf("app:sa-%d", i))
	}
	if len(tokens.known) > maxTokens {
		t.Errorf("%d answers are kept, more than %d", len(tokens.known), maxTokens)
	}
}

func TestOnePodCannotUseUpItsSiblings(t *testing.T) {
	s, _, c := newTestService(t)
	csr := string(request(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{}))
	refused := 0
	for range 50 {
		if _, err := call(s, "Bearer app:web:greedy", csr); status.Code(err) == codes.ResourceExhausted {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused != 50-podBurst {
		t.Errorf("%d of 50 were refused, want %d", refused, 50-podBurst)
	}
	for i := range 200 {
		if _, err := call(s, fmt.Sprintf("Bearer app:web:pod-%d", i), csr); err != nil {
			t.Fatalf("sibling %d: %v", i, err)
		}
	}
	c.at = start.Add(retryAfter)
	if _, err := call(s, "Bearer app:web:greedy", csr); err != nil {
		t.Errorf("after %s: %v", retryAfter, err)
	}
}

func TestLimitersAreBounded(t *testing.T) {
	l := newLimiters(1, 1)
	for i := range maxLimiters + 10 {
		l.allow(fmt.Sprint(i), start)
	}
	if len(l.held) > maxLimiters {
		t.Errorf("%d limiters are kept", len(l.held))
	}
}
