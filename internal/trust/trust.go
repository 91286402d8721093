// SPDX-License-Identifier: Apache-2.0

// Package trust knows where the control plane publishes the roots that everybody in the mesh trusts.
package trust

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// ConfigMap is the name of what each namespace has for its pods to mount.
	ConfigMap = "meshwright-ca-root-cert"
	// Key is where the roots are in it, as PEM.
	Key = "root-cert.pem"
)

// ErrMissing says that a namespace has no roots yet.
var ErrMissing = errors.New("is not there yet; the control plane writes it when it runs")

// Roots returns the PEM of the roots in a namespace, or ErrMissing.
func Roots(ctx context.Context, reader client.Reader, namespace string) ([]byte, error) {
	var found corev1.ConfigMap
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ConfigMap}, &found)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", namespace, ConfigMap, err)
	}
	if apierrors.IsNotFound(err) || found.Data[Key] == "" {
		return nil, fmt.Errorf("ConfigMap %s/%s %w", namespace, ConfigMap, ErrMissing)
	}
	return []byte(found.Data[Key]), nil
}
