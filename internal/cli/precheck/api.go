// SPDX-License-Identifier: Apache-2.0

package precheck

import (
	"context"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

const definitionKind = "CustomResourceDefinition"

// apis looks whether the API server serves the kinds that are to be applied,
// and those that the operator's role speaks of.
func apis(_ context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	_, lists, err := cluster.Discovery.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	brought, err := broughtBy(plan)
	if err != nil {
		return nil, err
	}
	rules, err := rulesOf(plan.Operator)
	if err != nil {
		return nil, err
	}
	return judgeAPIs(lists, brought, kindsOf(plan), rules), nil
}

// kindsOf lists the kinds of what is applied.
func kindsOf(plan Plan) []schema.GroupVersionKind {
	var out []schema.GroupVersionKind
	add := func(object *unstructured.Unstructured) {
		if kind := object.GroupVersionKind(); !slices.Contains(out, kind) {
			out = append(out, kind)
		}
	}
	for _, list := range [][]*unstructured.Unstructured{plan.Operator, plan.Mesh.Definitions} {
		for _, object := range list {
			add(object)
		}
	}
	for _, o := range plan.Mesh.Objects {
		add(o.Object)
	}
	return out
}

// broughtBy lists the resources that the plan itself defines.
func broughtBy(plan Plan) ([]schema.GroupResource, error) {
	var out []schema.GroupResource
	for _, list := range [][]*unstructured.Unstructured{plan.Operator, plan.Mesh.Definitions} {
		for _, object := range list {
			if object.GetKind() != definitionKind {
				continue
			}
			var d apiextensionsv1.CustomResourceDefinition
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
				return nil, err
			}
			out = append(out, schema.GroupResource{Group: d.Spec.Group, Resource: d.Spec.Names.Plural})
		}
	}
	return out, nil
}

// rulesOf returns the rules of the roles among objects.
func rulesOf(objects []*unstructured.Unstructured) ([]rbacv1.PolicyRule, error) {
	var out []rbacv1.PolicyRule
	for _, object := range objects {
		if object.GetKind() != "ClusterRole" && object.GetKind() != "Role" {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			return nil, err
		}
		out = append(out, role.Rules...)
	}
	return out, nil
}

// optional are groups that a cluster need not have.
var optional = []string{"gateway.networking.k8s.io", "config.openshift.io", "route.openshift.io", "operators.coreos.com"}

func judgeAPIs(lists []*metav1.APIResourceList, brought []schema.GroupResource, kinds []schema.GroupVersionKind, rules []rbacv1.PolicyRule) []Finding {
	served, groups := map[schema.GroupVersionKind]bool{}, map[schema.GroupResource]bool{}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for i := range list.APIResources {
			served[version.WithKind(list.APIResources[i].Kind)] = true
			groups[schema.GroupResource{Group: version.Group, Resource: list.APIResources[i].Name}] = true
		}
	}
	for _, resource := range brought {
		groups[resource] = true
	}
	var out []Finding
	miss := func(what string) {
		finding := Finding{
			Level: Error, Object: what, Problem: "the API server does not serve it",
			Remedy: "upgrade the cluster, or let its API server serve it (--runtime-config)",
		}
		if !slices.Contains(out, finding) {
			out = append(out, finding)
		}
	}
	for _, kind := range kinds {
		if !served[kind] {
			miss("API " + kind.GroupVersion().String() + " " + kind.Kind)
		}
	}
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				if !groups[schema.GroupResource{Group: group, Resource: resource}] && !broughtGroup(brought, group) && !slices.Contains(optional, group) {
					miss("API " + schema.GroupResource{Group: group, Resource: resource}.String())
				}
			}
		}
	}
	return out
}

// broughtGroup: subresources of what the plan defines are served with it.
func broughtGroup(brought []schema.GroupResource, group string) bool {
	return slices.ContainsFunc(brought, func(r schema.GroupResource) bool { return r.Group == group })
}
