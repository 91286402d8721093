// SPDX-License-Identifier: Apache-2.0

package intake

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/meshwright/meshwright/internal/ir"
)

// addWorkloads lists what is read of services, workloads and their places.
func (c *Cluster) addWorkloads() error {
	config := rest.CopyConfig(c.options.Config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	core, scope := clients.CoreV1().RESTClient(), c.options.Scope
	plain(c, core, "services", &corev1.Service{}, c.objectKey, scope.Service,
		func(b *Batch, k ir.ObjectKey, r *ir.Service) { b.Services[k] = r })
	plain(c, clients.DiscoveryV1().RESTClient(), "endpointslices", &discoveryv1.EndpointSlice{}, c.objectKey, scope.EndpointSlice,
		func(b *Batch, k ir.ObjectKey, r *ir.EndpointSlice) { b.Slices[k] = r })
	plain(c, core, "pods", &corev1.Pod{}, c.objectKey, scope.Pod,
		func(b *Batch, k ir.ObjectKey, r *ir.Pod) { b.Pods[k] = r })
	plain(c, core, "nodes", &corev1.Node{}, c.nodeKey, scope.Node,
		func(b *Batch, k ir.NodeKey, r *ir.Node) { b.Nodes[k] = r })
	plain(c, core, "namespaces", &corev1.Namespace{}, func(name string) string { return name }, scope.Namespace,
		func(b *Batch, k string, r *ir.Namespace) { b.Namespaces[k] = r })
	for _, namespace := range c.options.SecretNamespaces {
		s := plain(c, core, "secrets", &corev1.Secret{}, configKey,
			func(in *corev1.Secret) *ir.Credential { return scope.Secret(in, c.options.Now()) },
			func(b *Batch, k ir.ConfigKey, r *ir.Credential) { b.Credentials[k] = r })
		s.namespace = namespace
		s.selector = fields.AndSelectors(
			fields.OneTermNotEqualSelector("type", string(corev1.SecretTypeServiceAccountToken)),
			fields.OneTermNotEqualSelector("type", "helm.sh/release.v1"),
		)
		s.absent = forbidden
	}
	return nil
}

// plain adds a resource whose objects have no status of ours.
func plain[O runtime.Object, K comparable, R any](
	c *Cluster, client rest.Interface, resource string, example O,
	key func(string) K, project func(O) *R, put func(*Batch, K, *R),
) *source {
	t := &table[O, K, R]{
		inbox:   c.Inbox,
		project: project,
		key:     key,
		put:     put,
		rows:    map[string]*R{},
	}
	s := c.add(&source{client: client, resource: resource, example: example, store: t})
	t.synced = s.read
	return s
}

func (c *Cluster) objectKey(object string) ir.ObjectKey {
	k := configKey(object)
	return ir.ObjectKey{Cluster: c.options.Scope.Cluster, Namespace: k.Namespace, Name: k.Name}
}

func (c *Cluster) nodeKey(object string) ir.NodeKey {
	return ir.NodeKey{Cluster: c.options.Scope.Cluster, Name: object}
}

// configKey reads what the client library wrote: such keys always parse.
func configKey(object string) ir.ConfigKey {
	namespace, name, err := cache.SplitMetaNamespaceKey(object)
	if err != nil {
		return ir.ConfigKey{Name: object}
	}
	return ir.ConfigKey{Namespace: namespace, Name: name}
}
