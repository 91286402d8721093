// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"

	"github.com/meshwright/meshwright/test/cluster/kubeconfig"
	"github.com/meshwright/meshwright/test/cluster/pki"
)

// serverNames are the names by which pods know the API server.
var serverNames = []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"}

// controlIdentities are the certificates of an API server and its
// administrator. The front proxy has a name that the API server is told to
// accept alone: the authority is shared with ordinary clients.
func controlIdentities(addresses ...netip.Addr) map[string]pki.Identity {
	return map[string]pki.Identity{
		"apiserver":      {Name: "kube-apiserver", DNS: serverNames, IPs: addresses},
		"kubelet-client": {Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		"front-proxy":    {Name: "front-proxy"},
		"admin":          {Name: "admin", Groups: []string{"system:masters"}},
	}
}

// certificates makes the keys and certificates of a whole cluster and the
// kubeconfigs of its programs.
func (c *Cluster) certificates() error {
	plan := c.claim.Plan
	identities := controlIdentities(netip.MustParseAddr("127.0.0.1"), plan.Node(), plan.API())
	identities["controller-manager"] = pki.Identity{Name: "system:kube-controller-manager"}
	identities["scheduler"] = pki.Identity{Name: "system:kube-scheduler"}
	identities["proxy"] = pki.Identity{Name: "system:kube-proxy"}
	identities["node"] = pki.Identity{
		Name: "system:node:" + c.nodeName(), Groups: []string{"system:nodes"},
		DNS: []string{c.nodeName()}, IPs: []netip.Addr{plan.Node()},
	}
	authority, err := ensureCertificates(c.Layout, identities)
	if err != nil {
		return err
	}
	c.authority = authority
	for _, user := range []string{"controller-manager", "scheduler", "proxy", "node"} {
		if err := kubeconfig.Write(c.conf(user+".kubeconfig"), c.Name, c.server(), user, authority); err != nil {
			return err
		}
	}
	return kubeconfig.Write(c.Kubeconfig(), c.Name, c.server(), "admin", authority)
}

func ensureCertificates(l Layout, identities map[string]pki.Identity) (*pki.Authority, error) {
	authority, err := pki.Open(l.pki(), "meshwright-test-"+l.Name)
	if err != nil {
		return nil, err
	}
	for name, id := range identities {
		if err := authority.Ensure(name, id); err != nil {
			return nil, err
		}
	}
	return authority, authority.EnsureSigningKey("service-accounts")
}
