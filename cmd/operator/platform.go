// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/platform"
)

// detect tells the kind of the cluster. It looks at a node only where the API
// server does not say it, and goes on without when it may not.
func detect(ctx context.Context, config *rest.Config, version string) (v1alpha1.Platform, error) {
	asker, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return "", fmt.Errorf("make discovery client: %w", err)
	}
	groups, err := asker.ServerGroups()
	if err != nil {
		return "", fmt.Errorf("ask the API server's groups: %w", err)
	}
	facts := platform.Facts{Version: version}
	for i := range groups.Groups {
		facts.Groups = append(facts.Groups, groups.Groups[i].Name)
	}
	if name, ok := platform.OfServer(facts); ok {
		return v1alpha1.Platform(name), nil
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("make client: %w", err)
	}
	nodes, err := clients.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		log.FromContext(ctx).Info("no node can be looked at, so the platform may not be known; say it with spec.platform", "error", err.Error())
	} else if len(nodes.Items) > 0 {
		node := &nodes.Items[0]
		facts.Node = platform.Node{Name: node.Name, ProviderID: node.Spec.ProviderID, Labels: node.Labels}
	}
	return v1alpha1.Platform(platform.Of(facts)), nil
}
