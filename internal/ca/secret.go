// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SecretName is the Secret in the control plane's namespace that holds the self-signed authority.
const SecretName = "meshwright-ca"

// keepInterval is how often a running replica looks whether the Secret is still there.
const keepInterval = 30 * time.Second

const (
	msgRestored = "the certificate authority's secret was gone and has been written back"
	msgDiffers  = "the certificate authority's secret has changed; this replica signs with the old one until it restarts"
	msgKeep     = "cannot check the certificate authority's secret; trying again"
)

// Store reads and writes the authority's Secret. Its client must read from the API server, not from a cache: a cache
// that lags would let two replicas believe that there is none.
type Store struct {
	Client    client.Client
	Namespace string
}

// Ensure returns the authority in the Secret, and makes it first when there is none. Of two replicas that start
// together one creates the Secret and the other reads that one. A Secret that is there but is not an authority is an
// error; it is never overwritten, since what it held may be what every workload trusts.
func (s Store) Ensure(ctx context.Context, trustDomain string, now time.Time) (*Bundle, error) {
	found, err := s.read(ctx)
	if err == nil || !apierrors.IsNotFound(err) {
		return found, err
	}
	fresh, err := NewBundle(trustDomain, now)
	if err != nil {
		return nil, err
	}
	err = s.create(ctx, fresh)
	if apierrors.IsAlreadyExists(err) {
		return s.read(ctx)
	}
	if err != nil {
		return nil, err
	}
	return fresh, nil
}

func (s Store) read(ctx context.Context) (*Bundle, error) {
	var secret corev1.Secret
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: SecretName}, &secret); err != nil {
		return nil, fmt.Errorf("read secret %s/%s: %w", s.Namespace, SecretName, err)
	}
	bundle, err := ParseBundle(secret.Data)
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s is not a certificate authority: %w; restore it from a backup, or delete it to start with a new root", s.Namespace, SecretName, err)
	}
	return bundle, nil
}

func (s Store) create(ctx context.Context, bundle *Bundle) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: SecretName,
			Labels: map[string]string{"app.kubernetes.io/part-of": "meshwright", "app.kubernetes.io/managed-by": "meshwright-controlplane"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: bundle.secretData(),
	}
	if err := s.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("create secret %s/%s: %w", s.Namespace, SecretName, err)
	}
	return nil
}

// Keep writes the Secret back when somebody deletes it while the process runs: a replica that starts later would
// otherwise make a root that no running workload trusts. It returns when the context ends.
func (s Store) Keep(ctx context.Context, bundle *Bundle, log logr.Logger) error {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.keepOnce(ctx, bundle, log)
		}
	}
}

func (s Store) keepOnce(ctx context.Context, bundle *Bundle, log logr.Logger) {
	found, err := s.read(ctx)
	switch {
	case apierrors.IsNotFound(err):
		if err := s.create(ctx, bundle); err != nil && !apierrors.IsAlreadyExists(err) {
			log.Error(err, msgKeep)
			return
		}
		log.Info(msgRestored, "namespace", s.Namespace, "secret", SecretName)
	case err != nil:
		log.Error(err, msgKeep)
	case !found.Same(bundle):
		log.Info(msgDiffers, "namespace", s.Namespace, "secret", SecretName)
	}
}

// IsTransport reports whether the error is about reaching the API server rather than an answer of it.
func IsTransport(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
