// SPDX-License-Identifier: Apache-2.0

package precheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// namespaces looks for deletions that have not ended: nothing can be made in a
// namespace that is going away.
func namespaces(ctx context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	wanted := slices.Clone(plan.Namespaces)
	for _, object := range plan.Operator {
		if object.GetKind() == "Namespace" {
			wanted = append(wanted, object.GetName())
		}
	}
	var out []Finding
	for _, name := range wanted {
		found := &corev1.Namespace{}
		err := cluster.Client.Get(ctx, types.NamespacedName{Name: name}, found)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("read namespace %s: %w", name, err)
		}
		if found.DeletionTimestamp != nil {
			out = append(out, Finding{
				Level: Error, Object: "Namespace " + name, Problem: "it is being deleted" + holders(found.Status.Conditions),
				Remedy: "wait until it is gone, or install into another with --set namespace=...",
			})
		}
	}
	var meshes v1alpha1.MeshOperatorList
	if err := cluster.Client.List(ctx, &meshes); err != nil {
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return out, nil
		}
		return out, fmt.Errorf("list MeshOperators: %w", err)
	}
	return append(out, judgeMeshes(meshes.Items, plan)...), nil
}

func judgeMeshes(meshes []v1alpha1.MeshOperator, plan Plan) []Finding {
	var out []Finding
	for i := range meshes {
		m := &meshes[i]
		if m.DeletionTimestamp != nil {
			out = append(out, Finding{
				Level: Warning, Object: "MeshOperator " + m.Name, Problem: "it is being deleted",
				Remedy: "wait until it is gone; an operator must run for that: meshctl status says what it waits for",
			})
		}
		if m.Name != plan.Name && cmp.Or(m.Spec.Revision, v1alpha1.DefaultRevision) == plan.Revision {
			out = append(out, Finding{
				Level: Error, Object: "MeshOperator " + m.Name, Problem: "it has the revision " + plan.Revision + " already",
				Remedy: "install another --revision beside it, or change that mesh: meshctl upgrade " + m.Name,
			})
		}
	}
	return out
}

// holders says what a namespace that is being deleted waits for.
func holders(conditions []corev1.NamespaceCondition) string {
	var out []string
	for _, c := range conditions {
		if c.Status == corev1.ConditionTrue && c.Message != "" {
			out = append(out, c.Message)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, "; ")
}

// istiod looks for another control plane that reads the same objects.
func istiod(ctx context.Context, cluster Cluster, _ Plan) ([]Finding, error) {
	var list appsv1.DeploymentList
	if err := cluster.Client.List(ctx, &list, client.MatchingLabels{"app": "istiod"}); err != nil {
		return nil, err
	}
	var out []Finding
	for i := range list.Items {
		d := &list.Items[i]
		out = append(out, Finding{
			Level: Warning, Object: "Deployment " + d.Namespace + "/" + d.Name,
			Problem: "a control plane of Istio runs here: both read the same VirtualServices, Gateways and policies, and both write their status",
			Remedy:  "keep the two apart by revisions and namespaces while you migrate, and remove Istio when nothing is left on it",
		})
	}
	return out, nil
}

// clouds are the prefixes of providerID of nodes whose clouds give addresses to
// Services (https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer).
var clouds = []string{"aws:", "azure:", "digitalocean:", "gce:", "hcloud:", "ibm:", "k3s:", "linode:", "oci:", "openstack:", "vultr:"}

// addressPatience is after how long a Service without an address tells that nobody gives it one.
const addressPatience = 2 * time.Minute

// loadBalancer looks whether anybody gives addresses to Services of the type
// LoadBalancer, when gateways ask for one.
func loadBalancer(ctx context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	var wanting []string
	for _, o := range plan.Mesh.Objects {
		spec, _ := o.Object.Object["spec"].(map[string]any)
		if o.Object.GetKind() == "Service" && spec["type"] == string(corev1.ServiceTypeLoadBalancer) {
			wanting = append(wanting, o.Object.GetNamespace()+"/"+o.Object.GetName())
		}
	}
	if len(wanting) == 0 {
		return nil, nil
	}
	var services corev1.ServiceList
	if err := cluster.Client.List(ctx, &services); err != nil {
		return nil, err
	}
	var nodes corev1.NodeList
	if err := cluster.Client.List(ctx, &nodes); err != nil {
		return nil, err
	}
	return addresses(wanting, services.Items, nodes.Items, time.Now()), nil
}

// addresses tells whether the Services that are wanted can have addresses, by what others have. A cluster in which nobody
// asked for one yet gives no sign.
func addresses(wanting []string, services []corev1.Service, nodes []corev1.Node, now time.Time) []Finding {
	var pending []string
	for i := range services {
		service := &services[i]
		if len(service.Status.LoadBalancer.Ingress) > 0 {
			return nil
		}
		if service.Spec.Type == corev1.ServiceTypeLoadBalancer && now.Sub(service.CreationTimestamp.Time) > addressPatience {
			pending = append(pending, service.Namespace+"/"+service.Name)
		}
	}
	out := Finding{
		Level: Warning, Object: "Service " + some(wanting),
		Problem: "it asks for a load balancer, and nothing in this cluster gives one: Service " + some(pending) + " waits for its own",
		Remedy:  "install a load balancer, or choose another type: --set 'gateways.ingress[0].name=NAME,gateways.ingress[0].service.type=NodePort'",
	}
	if len(pending) > 0 {
		return []Finding{out}
	}
	for i := range nodes {
		id := nodes[i].Spec.ProviderID
		if slices.ContainsFunc(clouds, func(cloud string) bool { return strings.HasPrefix(id, cloud) }) {
			return nil
		}
	}
	out.Level = Info
	out.Problem = "it asks for a load balancer; no Service of this cluster has one, so whether it gets an address is not known: without one it is reached by node ports only"
	return []Finding{out}
}
