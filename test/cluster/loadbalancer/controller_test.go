// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

var addresses = netip.MustParsePrefix("10.200.11.0/29")

func service(name string, status ...string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	for _, ip := range status {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
	}
	return s
}

func TestChoose(t *testing.T) {
	used := map[netip.Addr]cache.ObjectName{}
	for i, name := range []string{"a", "b"} {
		used[netip.AddrFrom4([4]byte{10, 200, 11, byte(i + 1)})] = cache.ObjectName{Namespace: "default", Name: name}
	}
	asking := service("n")
	asking.Spec.LoadBalancerIP = "10.200.11.6"
	for name, tc := range map[string]struct {
		service *corev1.Service
		want    string
	}{
		"new":                        {service("n"), "10.200.11.3"},
		"keeps its own":              {service("b", "10.200.11.2"), "10.200.11.2"},
		"loses another's":            {service("n", "10.200.11.2"), "10.200.11.3"},
		"loses one of another range": {service("n", "10.9.9.9"), "10.200.11.3"},
		"loses what is no address":   {service("n", "x"), "10.200.11.3"},
		"asks":                       {asking, "10.200.11.6"},
		"two where one is to be":     {service("n", "10.200.11.4", "10.200.11.5"), "10.200.11.3"},
	} {
		got, err := choose(addresses, tc.service, used)
		if err != nil || got.String() != tc.want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, tc.want)
		}
	}
	asking.Spec.LoadBalancerIP = "10.200.11.1"
	if _, err := choose(addresses, asking, used); err == nil || !strings.Contains(err.Error(), "10.200.11.1") {
		t.Errorf("an address that is taken was given or not named: %v", err)
	}
	for i := range 8 {
		used[netip.AddrFrom4([4]byte{10, 200, 11, byte(i)})] = cache.ObjectName{Name: "full"}
	}
	if _, err := choose(addresses, service("n"), used); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a full range gave no error: %v", err)
	}
}

func TestRunGivesEachServiceItsOwnAddress(t *testing.T) {
	other := service("other")
	class := "example.com/other"
	other.Spec.LoadBalancerClass = &class
	inner := service("inner")
	inner.Spec.Type = corev1.ServiceTypeClusterIP
	client := fake.NewClientset(service("kept", "10.200.11.1"), other, inner)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, client, addresses, func(string, ...any) {}) }()
	t.Cleanup(func() { cancel(); <-done })

	for i := range 3 {
		create(t, client, service(fmt.Sprintf("s%d", i)))
	}
	seen := map[string]string{}
	for _, name := range []string{"kept", "s0", "s1", "s2"} {
		ip := waitAddress(t, client, name)
		if holder, twice := seen[ip]; twice {
			t.Errorf("%s and %s both have %s", name, holder, ip)
		}
		seen[ip] = name
	}
	if seen["10.200.11.1"] != "kept" {
		t.Errorf("the address of a service changed hands: %v", seen)
	}
	// What a deleted service had is free again: three more fit, where two
	// addresses are left.
	for _, name := range []string{"s0", "s1", "s2"} {
		if err := client.CoreV1().Services("default").Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		create(t, client, service(fmt.Sprintf("t%d", i)))
		waitAddress(t, client, fmt.Sprintf("t%d", i))
	}
	for _, name := range []string{"other", "inner"} {
		s, err := client.CoreV1().Services("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil || len(s.Status.LoadBalancer.Ingress) != 0 {
			t.Errorf("%s got an address that it is not to have from us (%v)", name, err)
		}
	}
}

func create(t *testing.T, client kubernetes.Interface, s *corev1.Service) {
	t.Helper()
	if _, err := client.CoreV1().Services("default").Create(context.Background(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func waitAddress(t *testing.T, client kubernetes.Interface, name string) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		s, err := client.CoreV1().Services("default").Get(context.Background(), name, metav1.GetOptions{})
		if err == nil && len(s.Status.LoadBalancer.Ingress) == 1 {
			return s.Status.LoadBalancer.Ingress[0].IP
		}
	}
	t.Fatalf("service %s got no address", name)
	return ""
}
