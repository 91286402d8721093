// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"golang.org/x/sync/errgroup"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	istio "istio.io/client-go/pkg/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// town is the mesh in the API server: services with endpoints, and routing for
// some of them.
type town struct {
	kube     *kubernetes.Clientset
	istio    *istio.Clientset
	services int
	routed   int
	// generation makes every change differ from all before.
	generation int
	// ruled counts the changes of each DestinationRule.
	ruled map[int]int
}

const (
	namespaces = 10
	httpPort   = 80
	tcpPort    = 9000
	// writers write to the API server at once.
	writers = 16
)

func newTown(config *rest.Config) (*town, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // The load must not wait for the client.
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	mesh, err := istio.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of Istio's kinds: %w", err)
	}
	return &town{kube: kube, istio: mesh, generation: 1, ruled: map[int]int{}}, nil
}

func namespaceOf(i int) string { return fmt.Sprintf("bench-%d", i%namespaces) }
func serviceOf(i int) string   { return fmt.Sprintf("service-%05d", i) }
func hostOf(i int) string {
	return fmt.Sprintf("%s.%s.svc.cluster.local", serviceOf(i), namespaceOf(i))
}

// hostName and clusterName are the resources of a service's HTTP port.
func hostName(i int) string    { return fmt.Sprintf("%d/%s", httpPort, hostOf(i)) }
func clusterName(i int) string { return fmt.Sprintf("outbound|%d||%s", httpPort, hostOf(i)) }

// found makes what all services need.
func (t *town) found(ctx context.Context) error {
	// A bare API server hands out 254 service addresses unless told of more.
	_, err := t.kube.NetworkingV1().ServiceCIDRs().Create(ctx, &networkv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"}, Spec: networkv1.ServiceCIDRSpec{CIDRs: []string{"10.112.0.0/14"}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create ServiceCIDR bench: %w", err)
	}
	for i := range namespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}}
		if _, err := t.kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create namespace %s: %w", ns.Name, err)
		}
	}
	return nil
}

// grow adds services until there are so many, and routing until so many have
// it.
func (t *town) grow(ctx context.Context, services, routed int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for ; t.services < services; t.services++ {
		i := t.services
		g.Go(func() error { return t.addService(ctx, i) })
	}
	for ; t.routed < min(routed, services); t.routed++ {
		i := t.routed
		g.Go(func() error { return t.addRouting(ctx, i) })
	}
	return g.Wait()
}

func (t *town) addService(ctx context.Context, i int) error {
	ns := namespaceOf(i)
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: serviceOf(i), Namespace: ns}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
		{Name: "http", Port: httpPort}, {Name: "tcp", Port: tcpPort},
	}}}
	if _, err := t.kube.CoreV1().Services(ns).Create(ctx, svc, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create Service %s/%s: %w", ns, svc.Name, err)
	}
	slice := sliceOf(i, 1)
	if _, err := t.kube.DiscoveryV1().EndpointSlices(ns).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create EndpointSlice %s/%s: %w", ns, slice.Name, err)
	}
	return nil
}

// sliceOf is the slice of a service in one of its generations, which differ in
// one address. Nothing is ever sent to these addresses.
func sliceOf(i, generation int) *discoveryv1.EndpointSlice {
	yes := true
	ready := discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes}
	httpName, tcpName, http, tcp := "http", "tcp", int32(8080), int32(9000)
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: serviceOf(i) + "-1", Namespace: namespaceOf(i), Labels: map[string]string{discoveryv1.LabelServiceName: serviceOf(i)}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{fmt.Sprintf("10.240.%d.%d", i/250, i%250+1)}, Conditions: ready},
			{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", 128+generation>>16&63, generation>>8&255, generation&255)}, Conditions: ready},
		},
		Ports: []discoveryv1.EndpointPort{{Name: &httpName, Port: &http}, {Name: &tcpName, Port: &tcp}},
	}
}

func (t *town) addRouting(ctx context.Context, i int) error {
	ns := namespaceOf(i)
	if _, err := t.istio.NetworkingV1().VirtualServices(ns).Create(ctx, virtualService(i, 1), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create VirtualService %s/%s: %w", ns, serviceOf(i), err)
	}
	if _, err := t.istio.NetworkingV1().DestinationRules(ns).Create(ctx, destinationRule(i, 1), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create DestinationRule %s/%s: %w", ns, serviceOf(i), err)
	}
	return nil
}

// virtualService routes a header match and a split, with a timeout that differs
// by generation.
func virtualService(i, generation int) *networkingv1.VirtualService {
	host, other := hostOf(i), hostOf(i+1)
	to := func(h string, w int32) *networking.HTTPRouteDestination {
		return &networking.HTTPRouteDestination{Weight: w, Destination: &networking.Destination{Host: h, Port: &networking.PortSelector{Number: httpPort}}}
	}
	vs := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Name: serviceOf(i), Namespace: namespaceOf(i)}}
	vs.Spec.Hosts = []string{host}
	vs.Spec.Http = []*networking.HTTPRoute{
		{
			Match: []*networking.HTTPMatchRequest{{Headers: map[string]*networking.StringMatch{"x-user": {MatchType: &networking.StringMatch_Exact{Exact: "jason"}}}}},
			Route: []*networking.HTTPRouteDestination{to(other, 0)},
		},
		{
			Route:   []*networking.HTTPRouteDestination{to(host, 90), to(other, 10)},
			Timeout: durationpb.New(time.Minute + time.Duration(generation)*time.Millisecond),
		},
	}
	return vs
}

func destinationRule(i, generation int) *networkingv1.DestinationRule {
	dr := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Name: serviceOf(i), Namespace: namespaceOf(i)}}
	dr.Spec.Host = hostOf(i)
	policy := networking.LoadBalancerSettings_LEAST_REQUEST
	if generation%2 == 0 {
		policy = networking.LoadBalancerSettings_ROUND_ROBIN
	}
	dr.Spec.TrafficPolicy = &networking.TrafficPolicy{LoadBalancer: &networking.LoadBalancerSettings{
		LbPolicy: &networking.LoadBalancerSettings_Simple{Simple: policy},
	}}
	return dr
}

func (t *town) changeEndpoints(ctx context.Context, i, generation int) error {
	slice := sliceOf(i, generation)
	if _, err := t.kube.DiscoveryV1().EndpointSlices(slice.Namespace).Update(ctx, slice, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update EndpointSlice %s/%s: %w", slice.Namespace, slice.Name, err)
	}
	return nil
}

func (t *town) changeVirtualService(ctx context.Context, i, generation int) error {
	vs := virtualService(i, generation)
	old, err := t.istio.NetworkingV1().VirtualServices(vs.Namespace).Get(ctx, vs.Name, metav1.GetOptions{})
	if err == nil {
		vs.ResourceVersion = old.ResourceVersion
		_, err = t.istio.NetworkingV1().VirtualServices(vs.Namespace).Update(ctx, vs, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("update VirtualService %s/%s: %w", vs.Namespace, vs.Name, err)
	}
	return nil
}

func (t *town) changeDestinationRule(ctx context.Context, i, generation int) error {
	dr := destinationRule(i, generation)
	old, err := t.istio.NetworkingV1().DestinationRules(dr.Namespace).Get(ctx, dr.Name, metav1.GetOptions{})
	if err == nil {
		dr.ResourceVersion = old.ResourceVersion
		_, err = t.istio.NetworkingV1().DestinationRules(dr.Namespace).Update(ctx, dr, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("update DestinationRule %s/%s: %w", dr.Namespace, dr.Name, err)
	}
	return nil
}
