// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

const (
	msgSigned  = "signed a workload certificate"
	msgRefused = "refused a certificate request"
	msgFailed  = "could not answer a certificate request"
)

// Service is the gRPC service IstioCertificateService: it signs the certificate request of a caller that proves its
// service account by a bearer token.
type Service struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer

	authority   *Authority
	tokens      *Tokens
	trustDomain string
	log         logr.Logger
	pods        *limiters
	accounts    *limiters
}

// NewService signs with authority for callers that tokens vouches for, under the trust domain.
func NewService(authority *Authority, tokens *Tokens, trustDomain string, log logr.Logger) *Service {
	return &Service{
		authority: authority, tokens: tokens, trustDomain: trustDomain, log: log,
		pods: newLimiters(podRate, podBurst), accounts: newLimiters(accountRate, accountBurst),
	}
}

// CreateCertificate answers with the certificate first and the roots last. Codes: Unauthenticated, InvalidArgument,
// ResourceExhausted, Unavailable (ask again), Internal.
func (s *Service) CreateCertificate(ctx context.Context, in *securityv1alpha1.IstioCertificateRequest) (*securityv1alpha1.IstioCertificateResponse, error) {
	caller, err := s.authenticate(ctx)
	if err != nil {
		return nil, s.refuse(caller, err)
	}
	id := Identity{TrustDomain: s.trustDomain, Namespace: caller.Namespace, ServiceAccount: caller.ServiceAccount}
	if err := s.admit(caller); err != nil {
		return nil, s.refuse(caller, err)
	}
	chain, err := s.authority.Sign([]byte(in.GetCsr()), id, validity(in.GetValidityDuration()))
	if errors.Is(err, ErrRequest) {
		return nil, s.refuse(caller, status.Error(codes.InvalidArgument, err.Error()))
	}
	if err != nil {
		s.log.Error(err, msgFailed, "identity", id.String(), "pod", caller.Pod)
		signed.WithLabelValues(codes.Internal.String()).Inc()
		return nil, status.Error(codes.Internal, "the certificate could not be signed; see the control plane's log")
	}
	signed.WithLabelValues(codes.OK.String()).Inc()
	s.log.V(1).Info(msgSigned, "identity", id.String(), "pod", caller.Pod)
	return &securityv1alpha1.IstioCertificateResponse{CertChain: chain}, nil
}

func (s *Service) authenticate(ctx context.Context) (Caller, error) {
	token, err := bearer(ctx)
	if err != nil {
		return Caller{}, err
	}
	caller, err := s.tokens.Authenticate(ctx, token)
	switch {
	case err == nil:
		return caller, nil
	case errors.Is(err, ErrUnauthenticated):
		return Caller{}, status.Error(codes.Unauthenticated, err.Error())
	default:
		s.log.Error(err, msgFailed)
		return Caller{}, status.Error(codes.Unavailable, "the API server could not be asked about the token; try again")
	}
}

// admit takes from the pod's bucket first, so that one pod in a loop cannot use up what its siblings share.
func (s *Service) admit(caller Caller) error {
	now := s.authority.now()
	account := caller.Namespace + "/" + caller.ServiceAccount
	if caller.Pod != "" && !s.pods.allow(caller.Namespace+"/"+caller.Pod, now) {
		return status.Errorf(codes.ResourceExhausted, "pod %s/%s asks for certificates too often; try again in %s", caller.Namespace, caller.Pod, retryAfter)
	}
	if !s.accounts.allow(account, now) {
		return status.Errorf(codes.ResourceExhausted, "service account %s asks for certificates too often; try again in %s", account, retryAfter)
	}
	return nil
}

// retryAfter is the time after which a pod's bucket has a token again.
const retryAfter = 5 * time.Second

func (s *Service) refuse(caller Caller, err error) error {
	signed.WithLabelValues(status.Code(err).String()).Inc()
	s.log.V(1).Info(msgRefused, "namespace", caller.Namespace, "serviceAccount", caller.ServiceAccount, "pod", caller.Pod, "reason", status.Convert(err).Message())
	return err
}

func bearer(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return "", status.Error(codes.Unauthenticated, "one authorization header with a bearer token is needed")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", status.Error(codes.Unauthenticated, "the authorization header holds no bearer token")
	}
	return token, nil
}

// validity reads the requested seconds; nonsense counts as not asked.
func validity(seconds int64) time.Duration {
	if seconds <= 0 || seconds > int64(MaxTTL/time.Second) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
