// SPDX-License-Identifier: Apache-2.0

//go:build integration

package controlplane_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applyWebhooks applies the injector as the operator does.
func applyWebhooks(t *testing.T, webhooks map[string]any) *admissionregistrationv1.MutatingWebhookConfiguration {
	t.Helper()
	objects, err := renderChart(map[string]any{"parts": []any{"webhooks"}, "webhooks": webhooks})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if err := admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("meshwright-operator"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
	}
	got, err := typed.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "meshwright-injector", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestStepsOfAName: while workloads are moved, the webhooks of a step go before the others, and all are trusted throughout.
func TestStepsOfAName(t *testing.T) {
	start(t)
	root := rootPEM(t)
	moved := []string{"rev.namespace", "rev.object", "namespace", "object"}
	plain := append(slices.Clip(moved), "self-check")
	for _, c := range []struct {
		webhooks map[string]any
		want     []string
	}{
		{map[string]any{}, plain},
		{map[string]any{"move": map[string]any{"revision": "next", "upTo": "00ffffffffffffff"}}, plain},
		{map[string]any{"caBundle": base64.StdEncoding.EncodeToString(root), "move": map[string]any{"revision": "next", "namespaces": []any{
			map[string]any{"matchLabels": map[string]any{"tier": "test"}}, map[string]any{"matchLabels": map[string]any{"tier": "late"}},
		}}}, slices.Concat(prefixed("step-0.", moved), prefixed("step-1.", moved), plain)},
		{map[string]any{"caBundle": base64.StdEncoding.EncodeToString(root), "answeredBy": "next"}, plain},
		{map[string]any{}, plain},
	} {
		got := applyWebhooks(t, c.webhooks)
		var names []string
		for _, h := range got.Webhooks {
			names = append(names, strings.TrimSuffix(h.Name, ".injector.meshwright.dev"))
			if string(h.ClientConfig.CABundle) != string(root) {
				t.Errorf("%v: webhook %s is not trusted", c.webhooks, h.Name)
			}
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%v: order is %v, want %v", c.webhooks, names, c.want)
		}
	}
}

func prefixed(prefix string, names []string) []string {
	var out []string
	for _, name := range names {
		out = append(out, prefix+name)
	}
	return out
}

// TestRevisionThatIsAway: a pod that belongs to a revision that does not answer starts all the same, and the user is told.
func TestRevisionThatIsAway(t *testing.T) {
	r := start(t)
	pointWebhooksAt(t, r.webhook)
	api := typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	moved, err := api.Get(t.Context(), "by-address", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(r.webhook)
	if err != nil {
		t.Fatal(err)
	}
	for i := range moved.Webhooks {
		moved.Webhooks[i].ClientConfig.URL = new("https://localhost:" + port + "/inject/as/default/split/away/ffffffffffffffff")
	}
	if _, err := api.Update(t.Context(), moved, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	makeNamespace(t, "revision-away", map[string]string{"istio-injection": "enabled"})
	config, heard := rest.CopyConfig(server.Config), &warnings{}
	config.WarningHandler = heard
	user, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a pod with a proxy and a warning", func() error {
		made, err := user.CoreV1().Pods("revision-away").Create(t.Context(), newPod(""), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		if len(made.Spec.InitContainers) != 2 || !strings.Contains(heard.text(), "revision away, to which this workload is moved, did not answer") {
			return fmt.Errorf("%d init containers, warnings %q", len(made.Spec.InitContainers), heard.text())
		}
		return nil
	})
}

type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

func (w *warnings) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.all, "\n")
}

// TestOneLeaderOfAllRevisions: two that lead would write over each other's status.
func TestOneLeaderOfAllRevisions(t *testing.T) {
	if err := installChart("canary"); err != nil {
		t.Fatal(err)
	}
	first := start(t)
	second := startAs(t, "meshwright-canary", "--revision=canary")
	const leading = "leading: this replica writes the status of objects"
	leads := func(r *replica) bool { return strings.Contains(r.log.String(), leading) }
	eventually(t, "one that leads", func() error {
		if !leads(first) && !leads(second) {
			return fmt.Errorf("nobody leads")
		}
		return nil
	})
	leases, err := typed.CoordinationV1().Leases(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(leases.Items) != 1 || leases.Items[0].Name != "meshwright" {
		t.Fatalf("leases are %v, %v", leases, err)
	}
	leader, other := first, second
	if leads(second) {
		leader, other = second, first
	}
	if leads(other) {
		t.Error("both lead")
	}
	leader.stop(t)
	eventually(t, "the other leads", func() error {
		if !leads(other) {
			return fmt.Errorf("it does not")
		}
		return nil
	})
}
