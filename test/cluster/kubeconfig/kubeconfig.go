// SPDX-License-Identifier: Apache-2.0

// Package kubeconfig writes the files that clients find a local cluster by.
package kubeconfig

import (
	"bytes"
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/meshwright/meshwright/test/cluster/host"
	"github.com/meshwright/meshwright/test/cluster/pki"
)

// Render is a kubeconfig whose only context, called cluster, uses the
// certificate called user of the authority. Certificates are embedded, so the
// file works wherever it is copied to.
func Render(cluster, server, user string, authority *pki.Authority) ([]byte, error) {
	cert, err := os.ReadFile(authority.CertFile(user))
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", user, err)
	}
	key, err := os.ReadFile(authority.KeyFile(user))
	if err != nil {
		return nil, fmt.Errorf("read the key of %s: %w", user, err)
	}
	config := api.NewConfig()
	config.Clusters[cluster] = &api.Cluster{Server: server, CertificateAuthorityData: authority.CertPEM()}
	config.AuthInfos[cluster+"-"+user] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[cluster] = &api.Context{Cluster: cluster, AuthInfo: cluster + "-" + user}
	config.CurrentContext = cluster
	text, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode the kubeconfig of %s: %w", user, err)
	}
	return text, nil
}

// Write renders a kubeconfig into the file at path, readable by its owner
// only, and leaves the file alone when it says the same already.
func Write(path, cluster, server, user string, authority *pki.Authority) error {
	text, err := Render(cluster, server, user, authority)
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
		return nil
	}
	return host.WriteFile(path, text, 0o600)
}
