// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"crypto/rand"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Config is what a control plane tells every proxy that it injects.
type Config struct {
	// Revision of the control plane; decides which pods are its.
	Revision string
	// Image of both containers, unless a pod's annotation names another.
	Image string
	// PullPolicy of both containers.
	PullPolicy corev1.PullPolicy
	// PullSecrets are names of Secrets, in the pods' namespaces, with which the image is pulled.
	PullSecrets []string
	// DiscoveryAddress is HOST:PORT of the control plane's gRPC over TLS.
	DiscoveryAddress string
	// TrustDomain of the mesh.
	TrustDomain string
	// ClusterID and ClusterDomain name the cluster and its DNS domain.
	ClusterID, ClusterDomain string
	// Network of the cluster's pods, unless a label names another; may be empty.
	Network string
	// CNI says that a CNI plugin redirects the pods' traffic, so that pods need no right to.
	CNI bool
	// CNINetwork is the network attachment that calls the plugin, NAMESPACE/NAME, where Multus does; empty where the plugin
	// is in the cluster's own list.
	CNINetwork string
	// Token gives each pod a secret of its own; nil means 26 random letters and digits.
	Token func() string
}

func (c Config) token() string {
	if c.Token != nil {
		return c.Token()
	}
	return rand.Text()
}

// Validate names the first setting that is missing or wrong.
func (c Config) Validate() error {
	for _, f := range []struct{ name, value string }{
		{"revision", c.Revision},
		{"proxy image", c.Image},
		{"discovery address", c.DiscoveryAddress},
		{"trust domain", c.TrustDomain},
		{"cluster id", c.ClusterID},
		{"cluster domain", c.ClusterDomain},
	} {
		if f.value == "" {
			return errors.New("injection needs a " + f.name)
		}
	}
	switch c.PullPolicy {
	case corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
		return nil
	}
	return fmt.Errorf("image pull policy %q is none of Always, IfNotPresent, Never", c.PullPolicy)
}
