// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/platform"
	"github.com/meshwright/meshwright/internal/revision"
)

// surroundings returns what the operator would know of a cluster: its version
// and its platform. Who may not see a node gets a plain one.
func surroundings(ctx context.Context, c client.Reader, asker discovery.DiscoveryInterface) (string, revision.Platform, error) {
	out := revision.Platform{Registry: defaultRegistry}
	info, err := asker.ServerVersion()
	if err != nil {
		return "", out, fmt.Errorf("reach the cluster: %w; give --kubeconfig and --context", err)
	}
	groups, err := asker.ServerGroups()
	if err != nil {
		return "", out, fmt.Errorf("ask the API server's groups: %w", err)
	}
	facts := platform.Facts{Version: info.GitVersion}
	for i := range groups.Groups {
		facts.Groups = append(facts.Groups, groups.Groups[i].Name)
	}
	name, ok := platform.OfServer(facts)
	if !ok {
		var nodes corev1.NodeList
		if c.List(ctx, &nodes, client.Limit(1)) == nil && len(nodes.Items) > 0 {
			node := &nodes.Items[0]
			facts.Node = platform.Node{Name: node.Name, ProviderID: node.Spec.ProviderID, Labels: node.Labels}
		}
		name = platform.Of(facts)
	}
	out.Name = v1alpha1.Platform(name)
	return info.GitVersion, out, nil
}
