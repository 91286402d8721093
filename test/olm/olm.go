// SPDX-License-Identifier: Apache-2.0

// Package olm plays the part of the Operator Lifecycle Manager in tests: it finds the bundle that a Subscription leads to,
// and lists what OLM would make of it, in OLM's order.
package olm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/operator-framework/api/crds"
	"github.com/operator-framework/api/pkg/manifests"
	operatorsv1 "github.com/operator-framework/api/pkg/operators/v1"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiv2 "github.com/operator-framework/api/pkg/operators/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// conditionVariable is how OLM tells an operator which OperatorCondition is its own
// (https://olm.operatorframework.io/docs/advanced-tasks/communicating-operator-conditions-to-olm/).
const conditionVariable = "OPERATOR_CONDITION_NAME"

// Request is what a user asks OLM for.
type Request struct {
	Group        operatorsv1.OperatorGroup
	Subscription operatorsv1alpha1.Subscription
}

// Read reads the OperatorGroup and the Subscription of a checkout, which were written for the operator of Istio, as
// `kubectl apply -n` does with the Subscription's namespace.
func Read(checkout string) (Request, error) {
	var r Request
	err := documents(filepath.Join(checkout, "config", "olm", "istio-operator", "subscription.yaml"), &r.Group, &r.Subscription)
	r.Group.Namespace = r.Subscription.Namespace
	return r, err
}

// documents decodes the documents of a file.
func documents(file string, into ...any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLToJSONDecoder(bytes.NewReader(data))
	for _, object := range into {
		if err := decoder.Decode(object); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// Bundle returns the bundle of the checkout, which is to be the head of the channel that the Subscription asks for in
// the catalog whose CatalogSource it names.
func (r Request) Bundle(checkout string) (*manifests.Bundle, error) {
	var namespace corev1.Namespace
	var source operatorsv1alpha1.CatalogSource
	if err := documents(filepath.Join(checkout, "config", "olm", "istio-operator", "source.yaml"), &namespace, &source); err != nil {
		return nil, err
	}
	spec := r.Subscription.Spec
	if source.Name != spec.CatalogSource || source.Namespace != spec.CatalogSourceNamespace || namespace.Name != source.Namespace {
		return nil, fmt.Errorf("CatalogSource %s/%s; the Subscription asks for %s/%s", source.Namespace, source.Name, spec.CatalogSourceNamespace, spec.CatalogSource)
	}
	blobs, err := catalog(filepath.Join(checkout, "bundle", "catalog"))
	if err != nil {
		return nil, err
	}
	name, err := head(blobs, spec.Package, spec.Channel)
	if err != nil {
		return nil, err
	}
	bundle, err := manifests.GetBundleFromDir(filepath.Join(checkout, "bundle"))
	if err == nil && bundle.CSV.Name != name {
		err = fmt.Errorf("the catalog leads to %s, the bundle is %s", name, bundle.CSV.Name)
	}
	return bundle, err
}

// blob is what is needed of a file-based catalog (https://olm.operatorframework.io/docs/reference/file-based-catalogs/).
type blob struct {
	Schema, Name, Package string
	Entries               []struct{ Name, Replaces string }
}

func catalog(dir string) ([]blob, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.yaml"))
	if err != nil {
		return nil, err
	}
	var out []blob
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		decoder := yaml.NewYAMLToJSONDecoder(bytes.NewReader(data))
		for {
			var b blob
			if err := decoder.Decode(&b); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			out = append(out, b)
		}
	}
	return out, nil
}

// head is the entry of a channel that no other one replaces, and that is a bundle.
func head(blobs []blob, in, channel string) (string, error) {
	replaced, bundles, entries := map[string]bool{}, map[string]bool{}, []string{}
	for _, b := range blobs {
		if b.Package != in {
			continue
		}
		bundles[b.Name] = bundles[b.Name] || b.Schema == "olm.bundle"
		if b.Schema == "olm.channel" && b.Name == channel {
			for _, e := range b.Entries {
				replaced[e.Replaces] = true
				entries = append(entries, e.Name)
			}
		}
	}
	for _, e := range entries {
		if bundles[e] && !replaced[e] {
			return e, nil
		}
	}
	return "", fmt.Errorf("package %s, channel %s: no bundle among %d blobs", in, channel, len(blobs))
}

// Plan is what OLM makes of a bundle.
type Plan struct {
	// Definitions come first, then Objects, then the Deployment.
	Definitions []client.Object
	Objects     []client.Object
	Deployment  *appsv1.Deployment
	// Condition is the OperatorCondition, one of the Objects.
	Condition client.ObjectKey
}

// Plan lists what OLM makes of a bundle for the group. The operator gets the rights that the bundle asks for, and those
// to its OperatorCondition.
func (r Request) Plan(bundle *manifests.Bundle) (Plan, error) {
	where := r.Group.Namespace
	strategy := bundle.CSV.Spec.InstallStrategy.StrategySpec
	if len(strategy.ClusterPermissions) != 1 || len(strategy.Permissions) != 0 || len(strategy.DeploymentSpecs) != 1 {
		return Plan{}, fmt.Errorf("%d cluster permissions, %d permissions, %d deployments; this plays one, none, one",
			len(strategy.ClusterPermissions), len(strategy.Permissions), len(strategy.DeploymentSpecs))
	}
	account, spec := strategy.ClusterPermissions[0].ServiceAccountName, strategy.DeploymentSpecs[0]
	if got := spec.Spec.Template.Spec.ServiceAccountName; got != account {
		return Plan{}, fmt.Errorf("the pod runs as %s, the rights are those of %s", got, account)
	}
	subject := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: where}}
	key := client.ObjectKey{Namespace: where, Name: bundle.CSV.Name}
	plan := Plan{Condition: key, Definitions: []client.Object{crds.OperatorCondition()}}
	for _, crd := range bundle.V1CRDs {
		plan.Definitions = append(plan.Definitions, crd)
	}
	plan.Objects = []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: where, Name: account}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: key.Name}, Rules: strategy.ClusterPermissions[0].Rules},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: key.Name}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: key.Name},
		},
	}
	for _, object := range bundle.Objects {
		if object.GetKind() == "Service" {
			object = object.DeepCopy()
			object.SetNamespace(where)
			plan.Objects = append(plan.Objects, object)
		}
	}
	plan.Objects = append(plan.Objects,
		&apiv2.OperatorCondition{
			TypeMeta:   metav1.TypeMeta{APIVersion: apiv2.GroupVersion.String(), Kind: "OperatorCondition"},
			ObjectMeta: metav1.ObjectMeta{Namespace: where, Name: key.Name},
		},
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: where, Name: key.Name}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{apiv2.GroupVersion.Group}, Resources: []string{"operatorconditions"}, ResourceNames: []string{key.Name},
			Verbs: []string{"get", "update", "patch"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: where, Name: key.Name}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: key.Name},
		})
	deployment := spec.Spec.DeepCopy()
	deployment.Template.Annotations = map[string]string{
		"olm.targetNamespaces": strings.Join(r.Group.Spec.TargetNamespaces, ","), "olm.operatorGroup": r.Group.Name, "olm.operatorNamespace": where,
	}
	container := &deployment.Template.Spec.Containers[0]
	container.Env = append(container.Env, corev1.EnvVar{Name: conditionVariable, Value: key.Name})
	plan.Deployment = &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: where, Name: spec.Name, Labels: spec.Label}, Spec: *deployment}
	return plan, nil
}
