// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// Kind is a kind of objects that users write and get status for.
type Kind struct {
	Group string
	Name  string
	// Check projects a spec for what there is to say of it.
	Check func(meta *metav1.ObjectMeta, spec []byte) ([]ir.Problem, error)

	spec   message
	served served
}

// NewSpec is an empty spec of the kind.
func (k Kind) NewSpec() proto.Message { return k.spec.ProtoReflect().New().Interface() }

// message is a spec: istio.io/api has its own way to and from JSON.
type message interface {
	proto.Message
	json.Marshaler
}

const (
	groupNetworking = "networking.istio.io"
	groupSecurity   = "security.istio.io"
)

// Kinds is all kinds with a spec of fields that are served, ignored or refused.
func (s Scope) Kinds() []Kind {
	return []Kind{
		{groupNetworking, KindVirtualService, check(s.VirtualService), &networking.VirtualService{}, servedVirtualService},
		{groupNetworking, KindDestinationRule, check(s.DestinationRule), &networking.DestinationRule{}, servedDestinationRule},
		{groupNetworking, KindGateway, check(s.Gateway), &networking.Gateway{}, servedGateway},
		{groupNetworking, KindProxyConfig, check(s.ProxyConfig), &networkingv1beta1.ProxyConfig{}, servedProxyConfig},
		{groupNetworking, KindServiceEntry, check(s.ServiceEntry), &networking.ServiceEntry{}, servedServiceEntry},
		{groupNetworking, KindWorkloadEntry, check(s.WorkloadEntry), &networking.WorkloadEntry{}, servedWorkloadEntry},
		{groupNetworking, KindWorkloadGroup, check(s.WorkloadGroup), &networking.WorkloadGroup{}, servedWorkloadGroup},
		{groupNetworking, KindSidecar, check(s.Sidecar), &networking.Sidecar{}, servedSidecar},
		{groupSecurity, KindPeerAuthentication, check(s.PeerAuthentication), &security.PeerAuthentication{}, servedPeerAuthentication},
		{groupSecurity, KindRequestAuthentication, check(s.RequestAuthentication), &security.RequestAuthentication{}, servedRequestAuthentication},
	}
}

func check[R any](project func(*metav1.ObjectMeta, []byte) (*R, []ir.Problem, error)) func(*metav1.ObjectMeta, []byte) ([]ir.Problem, error) {
	return func(meta *metav1.ObjectMeta, spec []byte) ([]ir.Problem, error) {
		_, problems, err := project(meta, spec)
		return problems, err
	}
}
