// SPDX-License-Identifier: Apache-2.0

package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// atOnce is how many questions about rights are asked at the same time.
const atOnce = 8

// right is one thing that somebody may do.
type right struct {
	verb, group, resource, namespace string
	// path is set for what is no resource.
	path string
}

// String writes the right for people.
func (r right) String() string {
	if r.path != "" {
		return r.verb + " " + r.path
	}
	out := r.verb + " " + r.resource
	if r.group != "" {
		out += "." + r.group
	}
	if r.namespace != "" {
		out += " in namespace " + r.namespace
	}
	return out
}

// access asks the API server whether the caller may do what an installation
// does: apply the operator's objects, grant what its roles grant, and write
// MeshOperators. The rights are read off what is to be applied.
func access(ctx context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	all := right{verb: "*", group: "*", resource: "*"}
	missing, err := denied(ctx, cluster.Client, []right{all})
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	needed, err := rightsToApply(cluster.Client, plan.Operator)
	if err != nil {
		return nil, err
	}
	for _, verb := range []string{"get", "list", "create", "patch"} {
		needed = append(needed, right{verb: verb, group: v1alpha1.GroupVersion.Group, resource: "meshoperators"})
	}
	if missing, err = denied(ctx, cluster.Client, needed); err != nil {
		return nil, err
	}
	var out []Finding
	if len(missing) > 0 {
		out = append(out, Finding{
			Level: Error, Object: "access of the caller",
			Problem: "may not " + rightsText(missing),
			Remedy:  "install as somebody who may, for example with the ClusterRole cluster-admin",
		})
	}
	lacking, err := ungrantable(ctx, cluster.Client, plan.Operator)
	if err != nil {
		return out, err
	}
	if len(lacking) > 0 {
		out = append(out, Finding{
			Level: Error, Object: "access of the caller",
			Problem: "the operator's role has rights that the caller lacks, and nobody may grant more than he has: " + rightsText(lacking),
			Remedy:  "install as somebody who may, or who has the verbs escalate and bind on clusterroles",
		})
	}
	return out, nil
}

func rightsText(rights []right) string {
	texts := make([]string, len(rights))
	for i, r := range rights {
		texts[i] = r.String()
	}
	return some(texts)
}

// rightsToApply are those for a server-side apply of objects, which gets,
// patches, and creates what is not there.
func rightsToApply(c client.Client, objects []*unstructured.Unstructured) ([]right, error) {
	var out []right
	for _, object := range objects {
		kind := object.GroupVersionKind()
		mapping, err := c.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return nil, fmt.Errorf("find the resource of %s: %w", kind.Kind, err)
		}
		for _, verb := range []string{"get", "create", "patch"} {
			r := right{verb: verb, group: kind.Group, resource: mapping.Resource.Resource, namespace: object.GetNamespace()}
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// ungrantable are the rights in the roles among objects that the caller can
// neither grant by having them nor by escalate and bind
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).
func ungrantable(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) ([]right, error) {
	rules, err := rulesOf(objects)
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	group := rbacv1.GroupName
	refused, err := denied(ctx, c, []right{{verb: "escalate", group: group, resource: "clusterroles"}, {verb: "bind", group: group, resource: "clusterroles"}})
	if err != nil || len(refused) == 0 {
		return nil, err
	}
	return denied(ctx, c, rightsOf(rules))
}

// rightsOf lists the rights that rules give.
func rightsOf(rules []rbacv1.PolicyRule) []right {
	var out []right
	add := func(r right) {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, path := range rule.NonResourceURLs {
				add(right{verb: verb, path: path})
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					add(right{verb: verb, group: group, resource: resource})
				}
			}
		}
	}
	return out
}

// denied asks for each right and returns those that the caller does not have,
// in their order.
func denied(ctx context.Context, c client.Client, rights []right) ([]right, error) {
	no := make([]bool, len(rights))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, r := range rights {
		g.Go(func() error {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: spec(r)}
			if err := c.Create(ctx, review); err != nil {
				return fmt.Errorf("ask for the right to %s: %w", r, err)
			}
			no[i] = !review.Status.Allowed
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []right
	for i, r := range rights {
		if no[i] {
			out = append(out, r)
		}
	}
	return out, nil
}

func spec(r right) authorizationv1.SelfSubjectAccessReviewSpec {
	if r.path != "" {
		return authorizationv1.SelfSubjectAccessReviewSpec{
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: r.path, Verb: r.verb},
		}
	}
	resource, subresource, _ := strings.Cut(r.resource, "/")
	return authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
		Verb: r.verb, Group: r.group, Resource: resource, Subresource: subresource, Namespace: r.namespace,
	}}
}
