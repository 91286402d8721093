// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	applyv1 "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// FieldManager owns the field caBundle of our webhooks, and nothing else of their configurations.
const FieldManager = "meshwright-controlplane"

const msgBundle = "put the root into a webhook configuration"

// Bundles keeps the mesh's root in the caBundle of the webhooks that call this control plane. Every replica does it:
// all have the same root, and it must not wait for an election.
type Bundles struct {
	Client client.Client
	// Root is the PEM that the API server must trust.
	Root []byte
	// Service and Namespace name the Service that the webhooks call; others' webhooks are left alone.
	Service, Namespace string
	// Mutating and Validating are the names of the two configurations.
	Mutating, Validating string
}

// SetupWithManager watches both configurations. The manager's cache should hold only these two objects.
func (b *Bundles) SetupWithManager(mgr manager.Manager) error {
	options := controller.Options{NeedLeaderElection: new(false)}
	for _, c := range []struct {
		name      string
		object    client.Object
		reconcile reconcile.Func
	}{
		{"injector-bundle", &admissionregistrationv1.MutatingWebhookConfiguration{}, b.reconcileMutating},
		{"validator-bundle", &admissionregistrationv1.ValidatingWebhookConfiguration{}, b.reconcileValidating},
	} {
		if err := builder.ControllerManagedBy(mgr).Named(c.name).For(c.object).WithOptions(options).Complete(c.reconcile); err != nil {
			return fmt.Errorf("set up controller %s: %w", c.name, err)
		}
	}
	return nil
}

func (b *Bundles) reconcileMutating(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if request.Name != b.Mutating {
		return reconcile.Result{}, nil
	}
	var found admissionregistrationv1.MutatingWebhookConfiguration
	if err := b.Client.Get(ctx, request.NamespacedName, &found); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	want := applyv1.MutatingWebhookConfiguration(found.Name).WithUID(found.UID)
	stale := 0
	for i := range found.Webhooks {
		if h := &found.Webhooks[i]; b.isOurs(h.ClientConfig) {
			want.WithWebhooks(applyv1.MutatingWebhook().WithName(h.Name).WithClientConfig(applyv1.WebhookClientConfig().WithCABundle(b.Root...)))
			stale += b.stale(h.ClientConfig)
		}
	}
	return reconcile.Result{}, b.apply(ctx, want, found.Name, stale)
}

func (b *Bundles) reconcileValidating(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if request.Name != b.Validating {
		return reconcile.Result{}, nil
	}
	var found admissionregistrationv1.ValidatingWebhookConfiguration
	if err := b.Client.Get(ctx, request.NamespacedName, &found); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	want := applyv1.ValidatingWebhookConfiguration(found.Name).WithUID(found.UID)
	stale := 0
	for i := range found.Webhooks {
		if h := &found.Webhooks[i]; b.isOurs(h.ClientConfig) {
			want.WithWebhooks(applyv1.ValidatingWebhook().WithName(h.Name).WithClientConfig(applyv1.WebhookClientConfig().WithCABundle(b.Root...)))
			stale += b.stale(h.ClientConfig)
		}
	}
	return reconcile.Result{}, b.apply(ctx, want, found.Name, stale)
}

// apply claims the field with force: who else writes it there would break every admission. The uid in want makes the
// request fail, instead of creating half a configuration, when the object has just been deleted.
func (b *Bundles) apply(ctx context.Context, want runtime.ApplyConfiguration, name string, stale int) error {
	if stale == 0 {
		return nil
	}
	err := b.Client.Apply(ctx, want, client.FieldOwner(FieldManager), client.ForceOwnership)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		// Deleted or made anew since it was read; the watch brings the new one.
		return nil
	}
	if err != nil {
		return fmt.Errorf("put the root into webhook configuration %s: %w", name, err)
	}
	log.FromContext(ctx).Info(msgBundle, "webhooks", stale)
	return nil
}

func (b *Bundles) isOurs(c admissionregistrationv1.WebhookClientConfig) bool {
	return c.Service != nil && c.Service.Name == b.Service && c.Service.Namespace == b.Namespace
}

func (b *Bundles) stale(c admissionregistrationv1.WebhookClientConfig) int {
	if bytes.Equal(c.CABundle, b.Root) {
		return 0
	}
	return 1
}

// Ready returns nil when each configuration is absent or carries the root in all webhooks that are ours.
func (b *Bundles) Ready(ctx context.Context) error {
	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	if err := b.Client.Get(ctx, client.ObjectKey{Name: b.Mutating}, &mutating); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read webhook configuration %s: %w", b.Mutating, err)
	}
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	if err := b.Client.Get(ctx, client.ObjectKey{Name: b.Validating}, &validating); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read webhook configuration %s: %w", b.Validating, err)
	}
	for _, h := range mutating.Webhooks {
		if b.isOurs(h.ClientConfig) && b.stale(h.ClientConfig) > 0 {
			return fmt.Errorf("webhook %s of %s does not have the root yet", h.Name, b.Mutating)
		}
	}
	for _, h := range validating.Webhooks {
		if b.isOurs(h.ClientConfig) && b.stale(h.ClientConfig) > 0 {
			return fmt.Errorf("webhook %s of %s does not have the root yet", h.Name, b.Validating)
		}
	}
	return nil
}
