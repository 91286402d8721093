// SPDX-License-Identifier: Apache-2.0

// Package loadbalancer answers Services of type LoadBalancer in a local
// cluster: each gets an address of its own in its status. The node's packet
// rules, made by kube-proxy, do the rest.
package loadbalancer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Run serves until ctx ends. Log gets a line for each address given and for
// each failure, which is tried again.
func Run(ctx context.Context, client kubernetes.Interface, addresses netip.Prefix, log func(format string, args ...any)) error {
	factory := informers.NewSharedInformerFactory(client, 10*time.Minute)
	services := factory.Core().V1().Services()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]())
	enqueue := func(obj any) {
		if key, err := cache.DeletionHandlingObjectToName(obj); err == nil {
			queue.Add(key)
		}
	}
	_, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, obj any) { enqueue(obj) },
	})
	if err != nil {
		return fmt.Errorf("watch services: %w", err)
	}
	factory.Start(ctx.Done())
	go func() {
		<-ctx.Done()
		queue.ShutDown()
	}()
	if !cache.WaitForCacheSync(ctx.Done(), services.Informer().HasSynced) {
		return ctx.Err()
	}
	c := controller{client: client, services: services.Lister(), addresses: addresses, given: map[cache.ObjectName]netip.Addr{}}
	// One worker: addresses are chosen one after the other.
	for {
		key, stop := queue.Get()
		if stop {
			return ctx.Err()
		}
		address, err := c.reconcile(ctx, key)
		switch {
		case err != nil:
			log("service %s: %v (tried again)", key, err)
			queue.AddRateLimited(key)
		case address.IsValid():
			log("service %s: address %s", key, address)
			fallthrough
		default:
			queue.Forget(key)
		}
		queue.Done(key)
	}
}

type controller struct {
	client    kubernetes.Interface
	services  listers.ServiceLister
	addresses netip.Prefix
	// given are addresses written by this process: the lister may not show
	// them yet.
	given map[cache.ObjectName]netip.Addr
}

// reconcile gives one service its address, or takes it away; the result is
// valid when it changed the service's status to a new address.
func (c *controller) reconcile(ctx context.Context, key cache.ObjectName) (netip.Addr, error) {
	service, err := c.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return netip.Addr{}, nil
	}
	if err != nil {
		return netip.Addr{}, err
	}
	if !wanted(service) {
		// The API server itself clears the status when the type changes.
		return netip.Addr{}, nil
	}
	all, err := c.services.List(labels.Everything())
	if err != nil {
		return netip.Addr{}, err
	}
	address, err := choose(c.addresses, service, c.used(all))
	if err != nil {
		return netip.Addr{}, err
	}
	c.given[key] = address
	if address == current(service) {
		return netip.Addr{}, nil
	}
	return address, c.patch(ctx, service, address)
}

// used are the addresses of all other services that exist.
func (c *controller) used(all []*corev1.Service) map[netip.Addr]cache.ObjectName {
	used := map[netip.Addr]cache.ObjectName{}
	existing := map[cache.ObjectName]bool{}
	for _, s := range all {
		if !wanted(s) {
			continue
		}
		key := cache.MetaObjectToName(s)
		existing[key] = true
		if a := current(s); a.IsValid() {
			used[a] = key
		}
	}
	for key, a := range c.given {
		if !existing[key] {
			delete(c.given, key)
			continue
		}
		used[a] = key
	}
	return used
}

func (c *controller) patch(ctx context.Context, s *corev1.Service, address netip.Addr) error {
	patch, err := json.Marshal(map[string]any{"status": corev1.ServiceStatus{
		LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address.String()}}},
	}})
	if err != nil {
		return err
	}
	_, err = c.client.CoreV1().Services(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// wanted says whether a service is ours to answer: another class belongs to
// another implementation.
func wanted(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil && s.DeletionTimestamp == nil
}

// current is the address in the service's status, invalid when there is none.
func current(s *corev1.Service) netip.Addr {
	ingress := s.Status.LoadBalancer.Ingress
	if len(ingress) != 1 {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(ingress[0].IP)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// choose is the address that a service is to have: the one it has, else the
// one it asks for, else the lowest free one.
func choose(addresses netip.Prefix, s *corev1.Service, used map[netip.Addr]cache.ObjectName) (netip.Addr, error) {
	key := cache.MetaObjectToName(s)
	free := func(a netip.Addr) bool {
		holder, taken := used[a]
		return addresses.Contains(a) && (!taken || holder == key)
	}
	if asked := s.Spec.LoadBalancerIP; asked != "" {
		a, err := netip.ParseAddr(asked)
		if err != nil || !free(a) {
			return netip.Addr{}, fmt.Errorf("spec.loadBalancerIP %s is not a free address of %s: ask for another one or for none", asked, addresses)
		}
		return a, nil
	}
	if a := current(s); a.IsValid() && free(a) {
		return a, nil
	}
	for a := addresses.Addr().Next(); addresses.Contains(a.Next()); a = a.Next() {
		if free(a) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are in use: delete a Service of type LoadBalancer", addresses)
}
