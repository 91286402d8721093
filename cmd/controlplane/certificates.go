// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/controllers/rootca"
	"github.com/meshwright/meshwright/internal/ca"
)

const (
	msgAuthority     = "loaded the certificate authority"
	msgAuthorityWait = "cannot load the certificate authority yet; trying again"
)

// Bounds of the wait between attempts to load the authority.
const (
	authorityWait    = time.Second
	authorityMaxWait = 15 * time.Second
)

// loadAuthority tries until it succeeds or the context ends: without the API server there is nothing to serve, and a
// process that exits instead would be held back by the kubelet longer and longer. A Secret that is there but wrong ends
// the process, since only a person can tell what it should be.
func loadAuthority(ctx context.Context, store ca.Store, o *options, trustDomain string, log logr.Logger) (*ca.Authority, error) {
	for wait := authorityWait; ; wait = min(2*wait, authorityMaxWait) {
		bundle, err := store.Ensure(ctx, trustDomain, time.Now())
		if err == nil {
			log.Info(msgAuthority, "namespace", store.Namespace, "secret", ca.SecretName, "notAfter", bundle.NotAfter().UTC().Format(time.RFC3339))
			return ca.NewAuthority(bundle, o.certificateTTL, nil)
		}
		if o.kubeconfig != "" && apierrors.IsNotFound(err) {
			// Outside a cluster nobody has made the namespace; a bare API server has none.
			err = createNamespace(ctx, store.Client, store.Namespace)
		}
		if err != nil && !isPassing(err) {
			return nil, err
		}
		if err != nil {
			log.Error(err, msgAuthorityWait)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("load the certificate authority: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

// isPassing tells what time or an administrator heals (the API server is away, rights or the namespace are still
// missing) from what it does not.
func isPassing(err error) bool {
	return apierrors.ReasonForError(err) != metav1.StatusReasonUnknown || ca.IsTransport(err)
}

func createNamespace(ctx context.Context, c client.Client, name string) error {
	err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// certificates signs requests of workloads, and keeps the authority's Secret.
func certificates(env environment) (part, error) {
	set, err := kubernetes.NewForConfigAndClient(env.manager.GetConfig(), env.manager.GetHTTPClient())
	if err != nil {
		return part{}, fmt.Errorf("client for token reviews: %w", err)
	}
	tokens := ca.NewTokens(set.AuthenticationV1().TokenReviews(), nil)
	service := ca.NewService(env.authority, tokens, env.mesh.TrustDomain, env.log.WithName("ca"))
	return part{
		secure:  func(r grpc.ServiceRegistrar) { securityv1alpha1.RegisterIstioCertificateServiceServer(r, service) },
		metrics: ca.Collectors(),
		run: func(ctx context.Context) error {
			return env.store.Keep(ctx, env.authority.Bundle(), env.log.WithName("ca"))
		},
	}, nil
}

// rootDistribution gives every namespace the root. Every replica does, since all write the same.
func rootDistribution(env environment) (part, error) {
	r := &rootca.Reconciler{Client: env.manager.GetClient(), Root: env.authority.Bundle().RootPEM()}
	if name, uid, ok := strings.Cut(env.options.owner, "/"); ok {
		r.Owner = rootca.MeshOperator(name, types.UID(uid))
	} else if env.options.clusterRole != "" {
		r.Owner = rootca.ClusterRole(env.manager.GetAPIReader(), env.options.clusterRole, time.Now)
	}
	return part{}, r.SetupWithManager(env.manager)
}
