// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

var scope = projection.Scope{Cluster: "east", Domain: "cluster.local"}

// Apply stages every object of a manifest.
func (w *World) Apply(manifest string) error { return Stage(&w.staged, manifest) }

// Stage puts what each object of a manifest projects into a batch, as reading the
// object from a cluster would.
func Stage(b *intake.Batch, manifest string) error {
	for _, text := range strings.Split(manifest, "\n---\n") {
		var head struct {
			metav1.TypeMeta `json:",inline"`
			Metadata        metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			return fmt.Errorf("%w in\n%s", err, text)
		}
		kind, ok := kinds[head.Kind]
		if !ok {
			return fmt.Errorf("nothing is known of kind %q in\n%s", head.Kind, text)
		}
		if err := kind.apply(b, []byte(text)); err != nil {
			return fmt.Errorf("%s %s/%s: %w", head.Kind, head.Metadata.Namespace, head.Metadata.Name, err)
		}
	}
	return nil
}

// Delete stages the removal of an object.
func (w *World) Delete(kind, namespace, name string) error {
	k, ok := kinds[kind]
	if !ok {
		return fmt.Errorf("nothing is known of kind %q", kind)
	}
	if !k.exists(w, namespace, name) {
		return fmt.Errorf("there is no %s %s/%s to delete", kind, namespace, name)
	}
	delete(w.projected, ir.Origin{Kind: kind, Namespace: namespace, Name: name})
	return StageRemoval(&w.staged, kind, namespace, name)
}

// StageRemoval puts the removal of an object into a batch.
func StageRemoval(b *intake.Batch, kind, namespace, name string) error {
	k, ok := kinds[kind]
	if !ok {
		return fmt.Errorf("nothing is known of kind %q", kind)
	}
	k.remove(b, namespace, name)
	return nil
}

type kind struct {
	apply  func(*intake.Batch, []byte) error
	remove func(b *intake.Batch, namespace, name string)
	exists func(w *World, namespace, name string) bool
}

var kinds = map[string]kind{
	"Service": plain(scope.Service, objectKey,
		func(b *intake.Batch) map[ir.ObjectKey]*ir.Service { return b.Services }),
	"EndpointSlice": plain(scope.EndpointSlice, objectKey,
		func(b *intake.Batch) map[ir.ObjectKey]*ir.EndpointSlice { return b.Slices }),
	"Pod": plain(scope.Pod, objectKey,
		func(b *intake.Batch) map[ir.ObjectKey]*ir.Pod { return b.Pods }),
	"Node": plain(scope.Node, nodeKey,
		func(b *intake.Batch) map[ir.NodeKey]*ir.Node { return b.Nodes }),
	"Namespace": plain(scope.Namespace, func(_, name string) string { return name },
		func(b *intake.Batch) map[string]*ir.Namespace { return b.Namespaces }),
	projection.KindIngress: configured(projection.KindIngress, scope.Ingress,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.Ingress { return b.Ingresses }),
	projection.KindIngressClass: {
		apply: func(b *intake.Batch, text []byte) error {
			in := &networkingv1.IngressClass{}
			if err := yaml.UnmarshalStrict(text, in); err != nil {
				return err
			}
			spec, err := json.Marshal(in.Spec)
			if err != nil {
				return err
			}
			b.IngressClasses[in.Name], _, err = scope.IngressClass(&in.ObjectMeta, spec)
			return err
		},
		remove: func(b *intake.Batch, _, name string) { b.IngressClasses[name] = nil },
		exists: func(w *World, _, name string) bool { return w.rows.IngressClasses[name] != nil },
	},
	"Secret": plain(secret, configKey,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.Credential { return b.Credentials }),
	projection.KindVirtualService: configured(projection.KindVirtualService, scope.VirtualService,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.Routes { return b.Routes }),
	projection.KindDestinationRule: configured(projection.KindDestinationRule, scope.DestinationRule,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.TrafficPolicy { return b.Policies }),
	projection.KindGateway: configured(projection.KindGateway, scope.Gateway,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.Gateway { return b.Gateways }),
	projection.KindProxyConfig: configured(projection.KindProxyConfig, scope.ProxyConfig,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.ProxyConfig { return b.ProxyConfigs }),
	projection.KindServiceEntry: configured(projection.KindServiceEntry, scope.ServiceEntry,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.ServiceEntry { return b.ServiceEntries }),
	projection.KindWorkloadEntry: workloadEntry(),
	projection.KindWorkloadGroup: configured(projection.KindWorkloadGroup, scope.WorkloadGroup,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.WorkloadGroup { return b.WorkloadGroups }),
	projection.KindSidecar: configured(projection.KindSidecar, scope.Sidecar,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.Sidecar { return b.Sidecars }),
	projection.KindPeerAuthentication: configured(projection.KindPeerAuthentication, scope.PeerAuthentication,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.PeerAuthentication { return b.PeerAuthentications }),
	projection.KindRequestAuthentication: configured(projection.KindRequestAuthentication, scope.RequestAuthentication,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.RequestAuthentication { return b.RequestAuthentications }),
}

func objectKey(namespace, name string) ir.ObjectKey {
	return ir.ObjectKey{Cluster: scope.Cluster, Namespace: namespace, Name: name}
}

func nodeKey(_, name string) ir.NodeKey { return ir.NodeKey{Cluster: scope.Cluster, Name: name} }

func configKey(namespace, name string) ir.ConfigKey {
	return ir.ConfigKey{Namespace: namespace, Name: name}
}

type object interface {
	corev1.Service | discoveryv1.EndpointSlice | corev1.Pod | corev1.Node | corev1.Secret | corev1.Namespace
}

func plain[O object, K comparable, R any](
	project func(*O) *R, key func(namespace, name string) K, rows func(*intake.Batch) map[K]*R,
) kind {
	return kind{
		apply: func(b *intake.Batch, text []byte) error {
			in := new(O)
			if err := yaml.UnmarshalStrict(text, in); err != nil {
				return err
			}
			meta := any(in).(metav1.Object)
			rows(b)[key(meta.GetNamespace(), meta.GetName())] = project(in)
			return nil
		},
		remove: func(b *intake.Batch, namespace, name string) { rows(b)[key(namespace, name)] = nil },
		exists: func(w *World, namespace, name string) bool { return rows(&w.rows)[key(namespace, name)] != nil },
	}
}

// configured does what intake does with a spec that cannot be decoded: what the
// object said before stays.
func configured[R any](
	kindName string, project func(*metav1.ObjectMeta, []byte) (*R, []ir.Problem, error),
	rows func(*intake.Batch) map[ir.ConfigKey]*R,
) kind {
	origin := func(namespace, name string) ir.Origin {
		return ir.Origin{Kind: kindName, Namespace: namespace, Name: name}
	}
	return kind{
		apply: func(b *intake.Batch, text []byte) error {
			body, err := yaml.YAMLToJSON(text)
			if err != nil {
				return err
			}
			var in struct {
				metav1.TypeMeta `json:",inline"`
				Metadata        metav1.ObjectMeta `json:"metadata"`
				Spec            json.RawMessage   `json:"spec"`
			}
			if err := json.Unmarshal(body, &in); err != nil {
				return err
			}
			row, problems, err := project(&in.Metadata, in.Spec)
			if err != nil {
				problems = []ir.Problem{projection.Malformed(kindName, &in.Metadata, err)}
			} else {
				rows(b)[configKey(in.Metadata.Namespace, in.Metadata.Name)] = row
			}
			b.Statuses[origin(in.Metadata.Namespace, in.Metadata.Name)] = intake.ConfigStatus{Problems: problems}
			return nil
		},
		remove: func(b *intake.Batch, namespace, name string) { rows(b)[configKey(namespace, name)] = nil },
		exists: func(w *World, namespace, name string) bool {
			_, known := w.projected[origin(namespace, name)]
			return known
		},
	}
}

// workloadEntry is read with the health that its status says.
func workloadEntry() kind {
	own := configured(projection.KindWorkloadEntry, scope.WorkloadEntry,
		func(b *intake.Batch) map[ir.ConfigKey]*ir.Workload { return b.WorkloadEntries })
	out := own
	out.apply = func(b *intake.Batch, text []byte) error {
		body, err := yaml.YAMLToJSON(text)
		if err != nil {
			return err
		}
		var in struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
			Status   json.RawMessage   `json:"status"`
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return err
		}
		b.WorkloadHealths[configKey(in.Metadata.Namespace, in.Metadata.Name)] = projection.WorkloadHealth(in.Status)
		return own.apply(b, text)
	}
	out.remove = func(b *intake.Batch, namespace, name string) {
		b.WorkloadHealths[configKey(namespace, name)] = nil
		own.remove(b, namespace, name)
	}
	return out
}

// noon is when certificates are checked.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// secret fills $certificate, $key, $ca, the renewed and the expired ones of stringData with material made for
// this run, so that no key is kept in a file.
func secret(in *corev1.Secret) *ir.Credential {
	first, second, expired := material()[0], material()[1], material()[2]
	in.Data = map[string][]byte{}
	for k, v := range in.StringData {
		in.Data[k] = []byte(strings.NewReplacer(
			"$certificate", first.certificate, "$key", first.key, "$ca", first.certificate,
			"$renewed-certificate", second.certificate, "$renewed-key", second.key,
			"$expired-certificate", expired.certificate, "$expired-key", expired.key,
		).Replace(v))
	}
	return scope.Secret(in, noon)
}
