// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

// replicaLabels differ between pods of one workload and say nothing that a
// policy selects by.
var replicaLabels = map[string]bool{
	"pod-template-hash":                        true,
	"pod-template-generation":                  true,
	"controller-revision-hash":                 true,
	"statefulset.kubernetes.io/pod-name":       true,
	"apps.kubernetes.io/pod-index":             true,
	"batch.kubernetes.io/controller-uid":       true,
	"batch.kubernetes.io/job-completion-index": true,
	"batch.kubernetes.io/job-name":             true,
	"controller-uid":                           true,
	"job-name":                                 true,
}

// metadataGroup names the WorkloadGroup of a proxy outside of Kubernetes.
const metadataGroup = "AUTO_REGISTER_GROUP"

// classOf reads the class of a proxy, but for its place, from what it says of itself;
// identity has checked that it may say so.
func classOf(node *corev3.Node) (*ir.Class, error) {
	parts := strings.Split(node.GetId(), "~")
	if len(parts) != 4 {
		return nil, fmt.Errorf("node id %q is not ROLE~IP~POD.NAMESPACE~DOMAIN", node.GetId())
	}
	c := &ir.Class{}
	switch parts[0] {
	case ir.RoleSidecar.String():
		c.Role = ir.RoleSidecar
	case ir.RoleRouter.String():
		c.Role = ir.RoleRouter
	default:
		return nil, fmt.Errorf("node id %q: the role is neither sidecar nor router", node.GetId())
	}
	meta := node.GetMetadata().GetFields()
	c.Namespace = text(meta, "NAMESPACE")
	c.Cluster = text(meta, "CLUSTER_ID")
	c.Network = text(meta, "NETWORK")
	c.ServiceAccount = text(meta, "SERVICE_ACCOUNT")
	c.Workload = text(meta, "WORKLOAD_NAME")
	// Another word was refused at injection; from elsewhere it counts as none.
	c.DiscoveryScope, _ = ir.ParseDiscoveryScope(text(meta, "DISCOVERY_SCOPE"))
	c.Group = text(meta, metadataGroup)
	if c.Namespace == "" {
		return nil, errors.New("node metadata has no NAMESPACE")
	}
	labels := map[string]string{}
	for k, v := range meta["LABELS"].GetStructValue().GetFields() {
		if !replicaLabels[k] {
			labels[k] = v.GetStringValue()
		}
	}
	c.Labels = ir.NewLabels(labels)
	c.IPv6 = listensOnIPv6(c.Role, meta)
	c.HTTP10 = proxyconfig.IsTrue(text(meta, "HTTP10"))
	// What is wrong in it was refused at injection; from elsewhere it counts as not said.
	own, _, _ := proxyconfig.Parse([]byte(text(meta, "PROXY_CONFIG")))
	c.Edge, c.Dialect = own.Topology, own.Dialect
	return c, nil
}

// classKey is readable and differs for classes that differ.
func classKey(c *ir.Class) string {
	sum := xxhash.Sum64String(strings.Join([]string{
		c.Cluster, c.Network, c.ServiceAccount, c.Labels.String(),
		c.Locality.Region, c.Locality.Zone, c.Locality.SubZone, c.DiscoveryScope.String(), c.Group, spoken(c), strconv.FormatBool(c.IPv6),
	}, "\x00"))
	return fmt.Sprintf("%s/%s/%s/%016x", c.Role, c.Namespace, c.Workload, sum)
}

// spoken is what the pods say of what they serve.
func spoken(c *ir.Class) string {
	var edge ir.EdgeTopology
	var dialect ir.Dialect
	if c.Edge != nil {
		edge = *c.Edge
	}
	if c.Dialect != nil {
		dialect = *c.Dialect
	}
	return fmt.Sprintf("%t %v %t %v %t", c.Edge != nil, edge, c.Dialect != nil, dialect, c.HTTP10)
}

// maxAddresses bounds the addresses of a pod that are looked at.
const maxAddresses = 16

// listensOnIPv6 tells whether a proxy has an address of IPv6. For a sidecar that captures
// nothing that is no matter: it listens where its Sidecar says.
func listensOnIPv6(role ir.Role, meta map[string]*structpb.Value) bool {
	if role == ir.RoleSidecar && text(meta, "INTERCEPTION_MODE") == "NONE" {
		return false
	}
	for _, t := range strings.SplitN(text(meta, "INSTANCE_IPS"), ",", maxAddresses) {
		if a, err := netip.ParseAddr(strings.TrimSpace(t)); err == nil && a.Unmap().Is6() {
			return true
		}
	}
	return false
}

func text(m map[string]*structpb.Value, key string) string { return m[key].GetStringValue() }
