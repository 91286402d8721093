// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshwright/meshwright/internal/agent/redirect"
	"github.com/meshwright/meshwright/internal/cni/socket"
)

func injected(name string, edit ...func(*corev1.Pod)) *corev1.Pod {
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "r", UID: "r", Controller: new(true)}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "1", OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: corev1.PodSpec{
			NodeName:       "here",
			InitContainers: []corev1.Container{{Name: redirect.VerifyContainer, Args: []string{redirect.Command, "--inbound-ports=*", redirect.Verify}}},
		},
	}
	for _, f := range edit {
		f(pod)
	}
	return pod
}

func unmarked(pod *corev1.Pod) {
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{
		Name: redirect.VerifyContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: redirect.ExitUnmarked}},
	}}
}

func TestRedirection(t *testing.T) {
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		asks    bool
		problem bool
	}{
		"injected":     {injected("a"), true, false},
		"not injected": {&corev1.Pod{}, false, false},
		"a container of that name": {injected("a", func(p *corev1.Pod) {
			p.Spec.InitContainers[0].Args = []string{"echo"}
		}), false, false},
		"one that redirects itself": {injected("a", func(p *corev1.Pod) { p.Spec.InitContainers[0].Args = []string{redirect.Command} }), false, false},
		"wrong arguments": {injected("a", func(p *corev1.Pod) {
			p.Spec.InitContainers[0].Args = []string{redirect.Command, redirect.Verify, "--proxy-uid=x"}
		}), false, true},
	} {
		flags, err := redirection(c.pod)
		if (flags != nil) != c.asks || (err != nil) != c.problem {
			t.Errorf("%s: got %v, %v", name, flags, err)
		}
	}
}

func TestNameServers(t *testing.T) {
	cluster := []netip.Addr{netip.MustParseAddr("10.0.0.10")}
	own := &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.1", "x"}}
	for _, c := range []struct {
		policy corev1.DNSPolicy
		config *corev1.PodDNSConfig
		want   []string
	}{
		{corev1.DNSClusterFirst, nil, []string{"10.0.0.10"}},
		{"", own, []string{"10.0.0.10", "192.0.2.1"}},
		{corev1.DNSNone, own, []string{"192.0.2.1"}},
		{corev1.DNSDefault, nil, nil},
	} {
		var got []string
		for _, addr := range nameServers(&corev1.Pod{Spec: corev1.PodSpec{DNSPolicy: c.policy, DNSConfig: c.config}}, cluster) {
			got = append(got, addr.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.policy, diff)
		}
	}
}

// TestPodsOfNobody: what was not injected starts without a question to anybody else.
func TestPodsOfNobody(t *testing.T) {
	clients := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "plain", UID: "1"}}, injected("mirror", func(p *corev1.Pod) {
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	}), injected("cart"))
	r := &Redirector{Pods: func(ns string) Pods { return clients.CoreV1().Pods(ns) }, Log: logr.Discard()}
	for _, q := range []socket.Question{{Namespace: "shop", Pod: "plain", UID: "1"}, {Namespace: "shop", Pod: "mirror", UID: "2"}, {Namespace: "shop", Pod: "gone", UID: "1"}} {
		if err := r.Handle(t.Context(), q, nil); err != nil {
			t.Errorf("%s: %v", q.Pod, err)
		}
	}
	if err := r.Handle(t.Context(), socket.Question{Namespace: "shop", Pod: "cart", UID: "2"}, nil); err == nil {
		t.Error("another pod of the same name is taken for this one")
	}
}

// TestRepair deletes the pods that found no plugin, and no others.
func TestRepair(t *testing.T) {
	clients := fake.NewClientset(
		injected("fine"), injected("broken", unmarked),
		injected("alone", unmarked, func(p *corev1.Pod) { p.OwnerReferences = nil }),
		injected("other", unmarked, func(p *corev1.Pod) { p.Status.InitContainerStatuses[0].State.Terminated.ExitCode = 1 }),
		injected("going", unmarked, func(p *corev1.Pod) {
			p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: time.Now()}, []string{"x/y"}
		}),
		injected("again", unmarked, func(p *corev1.Pod) {
			s := &p.Status.InitContainerStatuses[0]
			s.LastTerminationState, s.State = s.State, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		}),
	)
	deleted := make(chan string, 10)
	clients.PrependReactor("delete", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		d := action.(clienttesting.DeleteAction)
		if p := d.GetDeleteOptions().Preconditions; p == nil || p.UID == nil || *p.UID != "1" {
			t.Errorf("pod %s is deleted whichever it is", d.GetName())
		}
		deleted <- d.GetName()
		return true, nil, apierrors.NewNotFound(corev1.Resource("pods"), d.GetName())
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&Repairer{Clients: clients, Node: "here", Log: logr.Discard()}).Run(ctx) }()
	got := map[string]bool{<-deleted: true, <-deleted: true}
	// What comes later is seen, too.
	if _, err := clients.CoreV1().Pods("shop").Create(ctx, injected("late", unmarked), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got[<-deleted] = true
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"broken": true, "again": true, "late": true}, got); diff != "" {
		t.Errorf("deleted pods differ (-want +got):\n%s", diff)
	}
}
