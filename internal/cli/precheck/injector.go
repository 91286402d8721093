// SPDX-License-Identifier: Apache-2.0

package precheck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// Labels by which namespaces take part.
const (
	labelInjection = "istio-injection"
	labelRevision  = "istio.io/rev"
	labelPartOf    = "app.kubernetes.io/part-of"
	ownPart        = "meshwright"
)

// injectors looks for other webhooks that would inject where this mesh does,
// and for namespaces whose label nobody answers.
func injectors(ctx context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	var configurations admissionregistrationv1.MutatingWebhookConfigurationList
	if err := cluster.Client.List(ctx, &configurations); err != nil {
		return nil, err
	}
	var spaces corev1.NamespaceList
	if err := cluster.Client.List(ctx, &spaces); err != nil {
		return nil, err
	}
	out, err := rivals(configurations.Items, plan.Revision)
	if err != nil {
		return out, err
	}
	unserved, err := forgotten(configurations.Items, spaces.Items, plan.Revision)
	return append(out, unserved...), err
}

// Unanswered finds namespaces that ask for a proxy, and get none because no control plane answers their label.
func Unanswered(ctx context.Context, reader client.Reader) ([]Finding, error) {
	var configurations admissionregistrationv1.MutatingWebhookConfigurationList
	if err := reader.List(ctx, &configurations); err != nil {
		return nil, fmt.Errorf("list MutatingWebhookConfigurations: %w", err)
	}
	var spaces corev1.NamespaceList
	if err := reader.List(ctx, &spaces); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	out, err := forgotten(configurations.Items, spaces.Items, "")
	for i := range out {
		out[i].Check = "injectors"
	}
	return out, err
}

// wishes are the labels of namespaces that a revision answers.
func wishes(revision string) []labels.Set {
	out := []labels.Set{{labelRevision: revision}}
	if revision == v1alpha1.DefaultRevision {
		out = append(out, labels.Set{labelInjection: "enabled"})
	}
	return out
}

// rivals finds webhooks of others that take pods because of the labels that
// this revision answers: both would inject a proxy.
func rivals(configurations []admissionregistrationv1.MutatingWebhookConfiguration, revision string) ([]Finding, error) {
	var out []Finding
	for i := range configurations {
		c := &configurations[i]
		if c.Labels[labelPartOf] == ownPart {
			continue
		}
		for _, wish := range wishes(revision) {
			taken, err := takes(c, wish)
			if err != nil {
				return out, err
			}
			always, err := takes(c, labels.Set{})
			if err != nil {
				return out, err
			}
			if !taken || always {
				continue
			}
			out = append(out, Finding{
				Level: Error, Object: "MutatingWebhookConfiguration " + c.Name,
				Problem: fmt.Sprintf("it injects into namespaces with the label %s, as this mesh would: pods would get two proxies", wish),
				Remedy:  "install with another --revision, or remove that injector first",
			})
			break
		}
	}
	return out, nil
}

// forgotten finds namespaces that ask for a proxy and get none.
func forgotten(configurations []admissionregistrationv1.MutatingWebhookConfiguration, spaces []corev1.Namespace, revision string) ([]Finding, error) {
	byLabel := map[string][]string{}
	for i := range spaces {
		space := &spaces[i]
		wish := wishOf(space.Labels)
		if wish == nil || slices.ContainsFunc(wishes(revision), func(own labels.Set) bool { return own.String() == wish.String() }) {
			continue
		}
		served := false
		for n := range configurations {
			taken, err := takes(&configurations[n], space.Labels)
			if err != nil {
				return nil, err
			}
			served = served || taken
		}
		if !served {
			byLabel[wish.String()] = append(byLabel[wish.String()], space.Name)
		}
	}
	var out []Finding
	for _, label := range slices.Sorted(maps.Keys(byLabel)) {
		out = append(out, Finding{
			Level: Warning, Object: "namespaces " + some(byLabel[label]),
			Problem: "they have the label " + label + ", which no control plane answers: pods start there without a proxy",
			Remedy:  "install that revision, set a tag of that name (meshctl tag set), or change the label",
		})
	}
	return out, nil
}

// wishOf returns the label by which a namespace asks for a proxy, or nil.
func wishOf(of map[string]string) labels.Set {
	if value, ok := of[labelInjection]; ok {
		if value != "enabled" {
			return nil
		}
		return labels.Set{labelInjection: value}
	}
	if value := of[labelRevision]; value != "" {
		return labels.Set{labelRevision: value}
	}
	return nil
}

// takes says whether a webhook of a configuration is asked about new pods
// without labels in a namespace with these.
func takes(c *admissionregistrationv1.MutatingWebhookConfiguration, namespace labels.Set) (bool, error) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		if !slices.ContainsFunc(w.Rules, aboutPods) {
			continue
		}
		in, err := selects(w.NamespaceSelector, namespace)
		if err != nil {
			return false, fmt.Errorf("MutatingWebhookConfiguration %s: webhook %s: namespaceSelector: %w", c.Name, w.Name, err)
		}
		of, err := selects(w.ObjectSelector, labels.Set{})
		if err != nil {
			return false, fmt.Errorf("MutatingWebhookConfiguration %s: webhook %s: objectSelector: %w", c.Name, w.Name, err)
		}
		if in && of {
			return true, nil
		}
	}
	return false, nil
}

func selects(selector *metav1.LabelSelector, of labels.Set) (bool, error) {
	if selector == nil {
		return true, nil
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, err
	}
	return s.Matches(of), nil
}

func aboutPods(rule admissionregistrationv1.RuleWithOperations) bool {
	has := func(list []string, want string) bool {
		return slices.Contains(list, want) || slices.Contains(list, "*")
	}
	creates := slices.ContainsFunc(rule.Operations, func(o admissionregistrationv1.OperationType) bool {
		return o == admissionregistrationv1.Create || o == admissionregistrationv1.OperationAll
	})
	return creates && has(rule.APIGroups, "") && (has(rule.Resources, "pods") || slices.ContainsFunc(rule.Resources, func(r string) bool { return strings.HasPrefix(r, "*/") }))
}
