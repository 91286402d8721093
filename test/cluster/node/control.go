// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/meshwright/meshwright/test/cluster/process"
)

// etcdArgs are etcd's flags. Durability is given up for speed: a test cluster
// does not survive a power failure anyway. Its health is told at an address of
// its own, which the host can reach when the data's cannot be.
func etcdArgs(program, data string, client, peer, health netip.AddrPort) []string {
	clientURL, peerURL := "http://"+client.String(), "http://"+peer.String()
	return []string{
		program,
		"--name=etcd", "--data-dir=" + data, "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + clientURL, "--advertise-client-urls=" + clientURL,
		"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=etcd=" + peerURL,
		"--listen-metrics-urls=http://" + health.String(),
		"--auto-compaction-retention=10m", "--quota-backend-bytes=4294967296",
	}
}

// apiServer is what differs between API servers.
type apiServer struct {
	program, pki string
	etcd         netip.AddrPort
	bind         netip.AddrPort
	// advertise is the address that the Service "kubernetes" leads to.
	advertise netip.Addr
	services  netip.Prefix
	// bare is an API server without controllers and nodes.
	bare bool
}

// args are the API server's flags.
func (a apiServer) args() []string {
	file := func(name string) string { return filepath.Join(a.pki, name) }
	args := []string{
		a.program,
		"--etcd-servers=http://" + a.etcd.String(),
		"--bind-address=" + a.bind.Addr().String(),
		fmt.Sprintf("--secure-port=%d", a.bind.Port()),
		"--advertise-address=" + a.advertise.String(),
		"--service-cluster-ip-range=" + a.services.String(),
		"--client-ca-file=" + file("ca.crt"),
		"--tls-cert-file=" + file("apiserver.crt"), "--tls-private-key-file=" + file("apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + file("service-accounts.pub"),
		"--service-account-signing-key-file=" + file("service-accounts.key"),
		"--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false",
		// An empty list of names is refused when clients share the authority.
		"--requestheader-client-ca-file=" + file("ca.crt"), "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + file("front-proxy.crt"), "--proxy-client-key-file=" + file("front-proxy.key"),
	}
	if a.bare {
		// Nobody makes the service accounts that this plugin asks for, and a
		// loopback address cannot be an endpoint.
		return append(args, "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none")
	}
	return append(args,
		"--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate="+file("kubelet-client.crt"), "--kubelet-client-key="+file("kubelet-client.key"),
		"--kubelet-certificate-authority="+file("ca.crt"),
		// The node's name does not resolve: logs and exec use its address.
		"--kubelet-preferred-address-types=InternalIP",
	)
}

// controllerManagerArgs are kube-controller-manager's flags.
func (c *Cluster) controllerManagerArgs() []string {
	config := c.conf("controller-manager.kubeconfig")
	file := func(name string) string { return filepath.Join(c.pki(), name) }
	return []string{
		c.Binaries.Path("kube-controller-manager"),
		"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
		"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false",
		"--allocate-node-cidrs=false", "--use-service-account-credentials=true",
		"--root-ca-file=" + file("ca.crt"),
		"--service-account-private-key-file=" + file("service-accounts.key"),
		"--cluster-signing-cert-file=" + file("ca.crt"), "--cluster-signing-key-file=" + file("ca.key"),
		"--kube-api-qps=200", "--kube-api-burst=400",
	}
}

// schedulerArgs are kube-scheduler's flags.
func (c *Cluster) schedulerArgs() []string {
	config := c.conf("scheduler.kubeconfig")
	return []string{
		c.Binaries.Path("kube-scheduler"),
		"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
		"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
	}
}

// waitEtcd waits until etcd serves. An API server that starts before it backs
// off, and is late by many seconds.
func waitEtcd(ctx context.Context, etcd *process.Running, health netip.AddrPort) error {
	client := &http.Client{Timeout: time.Second}
	return poll(ctx, time.Minute, 20*time.Millisecond, "etcd", func() (bool, error) {
		if err := etcd.Err(); err != nil {
			return false, err
		}
		response, err := client.Get("http://" + health.String() + "/health")
		if err != nil {
			return false, nil
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
}
