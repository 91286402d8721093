// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TokenAudience is the audience that a workload's projected token must have to get a certificate.
const TokenAudience = "istio-ca"

const (
	// tokenLife and refusalLife are how long an answer of the API server is remembered. Both are short: a token dies
	// with its pod, and a clock that was wrong may be right a moment later.
	tokenLife   = time.Minute
	refusalLife = 5 * time.Second
	// maxTokens bounds the memory of answers, maxTokenBytes one token.
	maxTokens     = 8192
	maxTokenBytes = 16 << 10
	// maxReviews bounds the reviews under way, so that a thousand pods that start together do not starve the other
	// requests of this process to the API server.
	maxReviews = 32
)

// extraPod is the key under which the API server names the pod that a token is bound to.
const extraPod = "authentication.kubernetes.io/pod-name"

const serviceAccountPrefix = "system:serviceaccount:"

// ErrUnauthenticated marks a token that the API server refuses, or that has another audience.
var ErrUnauthenticated = errors.New("the token was refused")

// Reviewer asks the API server what a token is worth. The typed client's TokenReviews() is one.
type Reviewer interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, opts metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// Caller is who a token belongs to. Pod is empty when the token is not bound to a pod.
type Caller struct {
	Namespace      string
	ServiceAccount string
	Pod            string
}

// Tokens authenticates service account tokens by TokenReview and remembers the answers for a short while. It keeps
// hashes, never tokens. It is safe for concurrent use.
type Tokens struct {
	reviewer Reviewer
	now      func() time.Time
	slots    chan struct{}

	mu    sync.Mutex
	known map[[sha256.Size]byte]verdict
}

type verdict struct {
	caller Caller
	err    error
	until  time.Time
}

// NewTokens asks reviewer. A nil now is the machine's clock.
func NewTokens(reviewer Reviewer, now func() time.Time) *Tokens {
	if now == nil {
		now = time.Now
	}
	return &Tokens{reviewer: reviewer, now: now, slots: make(chan struct{}, maxReviews), known: map[[sha256.Size]byte]verdict{}}
}

// Authenticate says who the token belongs to. An error that wraps ErrUnauthenticated is final for this token; any other
// means that the API server could not be asked.
func (t *Tokens) Authenticate(ctx context.Context, token string) (Caller, error) {
	if token == "" || len(token) > maxTokenBytes {
		return Caller{}, fmt.Errorf("%w: it is empty or larger than %d bytes", ErrUnauthenticated, maxTokenBytes)
	}
	hash := sha256.Sum256([]byte(token))
	if v, ok := t.recall(hash); ok {
		return v.caller, v.err
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return Caller{}, fmt.Errorf("waiting to review a token: %w", ctx.Err())
	}
	caller, err := t.review(ctx, token)
	if err != nil && !errors.Is(err, ErrUnauthenticated) {
		return Caller{}, err
	}
	t.remember(hash, caller, err)
	return caller, err
}

func (t *Tokens) review(ctx context.Context, token string) (Caller, error) {
	answer, err := t.reviewer.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{TokenAudience}},
	}, metav1.CreateOptions{})
	if err != nil {
		// The client's error may repeat the request; the token must not reach a log.
		return Caller{}, errors.New(strings.ReplaceAll(fmt.Sprintf("review a token: %v", err), token, "TOKEN"))
	}
	status := answer.Status
	if !status.Authenticated {
		return Caller{}, fmt.Errorf("%w by the API server: expired, of a deleted pod or account, or not for audience %s", ErrUnauthenticated, TokenAudience)
	}
	// An authenticator that knows no audiences answers with none; such a token could have been made for anybody.
	if !slices.Contains(status.Audiences, TokenAudience) {
		return Caller{}, fmt.Errorf("%w: it is not for audience %s", ErrUnauthenticated, TokenAudience)
	}
	name, ok := strings.CutPrefix(status.User.Username, serviceAccountPrefix)
	namespace, account, split := strings.Cut(name, ":")
	if !ok || !split || namespace == "" || account == "" || strings.ContainsAny(name, "/%") {
		return Caller{}, fmt.Errorf("%w: it is not a service account's", ErrUnauthenticated)
	}
	caller := Caller{Namespace: namespace, ServiceAccount: account}
	if pod := status.User.Extra[extraPod]; len(pod) == 1 {
		caller.Pod = pod[0]
	}
	return caller, nil
}

func (t *Tokens) recall(hash [sha256.Size]byte) (verdict, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.known[hash]
	return v, ok && t.now().Before(v.until)
}

func (t *Tokens) remember(hash [sha256.Size]byte, caller Caller, err error) {
	now := t.now()
	until := now.Add(tokenLife)
	if err != nil {
		until = now.Add(refusalLife)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= maxTokens {
		for k, v := range t.known {
			if !now.Before(v.until) {
				delete(t.known, k)
			}
		}
	}
	if len(t.known) >= maxTokens {
		// Still full: forget everything. It costs reviews, never memory, and needs no order to be kept.
		clear(t.known)
	}
	t.known[hash] = verdict{caller: caller, err: err, until: until}
}
