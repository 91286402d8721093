// SPDX-License-Identifier: Apache-2.0

package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// limit is more than the webhooks' own timeout, so that the API server says what is wrong.
const limit = 12 * time.Second

// Webhooks are the webhooks of one revision.
type Webhooks struct {
	// Namespace is where the control plane runs.
	Namespace string
	// Revision is the name that the webhooks answer for.
	Revision string
	// Injector and Validator say which of them are installed.
	Injector, Validator bool
}

// Add takes note that an object of a kind is installed.
func (w *Webhooks) Add(kind string) {
	w.Injector = w.Injector || kind == "MutatingWebhookConfiguration"
	w.Validator = w.Validator || kind == "ValidatingWebhookConfiguration"
}

// Prober asks the cluster whether what was installed answers.
type Prober struct {
	// Client writes to the API server.
	Client client.Client
	// Reader reads from the API server.
	Reader client.Reader
}

// Webhooks returns nil when the API server reached every webhook that is installed and got its answer. The error says
// which does not answer and why.
func (p *Prober) Webhooks(ctx context.Context, w Webhooks) error {
	if !w.Injector && !w.Validator {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	asked := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.Namespace, GenerateName: "meshwright-self-check-", Labels: map[string]string{Label: w.Revision},
	}}
	err := p.Client.Create(ctx, asked, client.DryRunAll)
	switch {
	case err == nil && w.Validator:
		return errors.New("the API server did not ask the validator")
	case err == nil && asked.Annotations[Annotation] == "":
		return errors.New("the API server did not ask the injector")
	case err == nil:
		return nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), bothAnswer):
		return nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), injectorQuiet):
		if w.Injector {
			return errors.New("the API server did not ask the injector")
		}
		return nil
	}
	return fmt.Errorf("the API server could not ask: %w", err)
}
