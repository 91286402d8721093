// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"

	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/test/cluster/host"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	// pauseImage and dnsImage are made here and pulled from nowhere.
	pauseImage = "meshwright.local/pause:v1"
	dnsImage   = "meshwright.local/coredns"
)

// containerdConfig is containerd's configuration (config version 2, which
// containerd 1.6 to 2.x read). Paths are left at their defaults: within the
// node's mount namespace those are the cluster's own.
func containerdConfig(plugins, snapshotter string) string {
	return fmt.Sprintf(`version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # Without CAP_SYS_RESOURCE the container runtime fails to lower a score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = %q
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`, pauseImage, plugins, snapshotter)
}

// overlayMagic is the file system type of an overlay (statfs(2)).
const overlayMagic = 0x794c7630

// snapshotter is "overlayfs" unless the state itself lies on an overlay (in a
// container), which cannot be stacked; "native" copies instead.
func snapshotter(dir string) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err == nil && fs.Type == overlayMagic {
		return "native"
	}
	return "overlayfs"
}

// cniConfig is the pods' network: a link between each pod and the node, no
// bridge, so that every packet meets the node's Service rules. Addresses keep
// within the cluster's own range and are never masqueraded.
func (c *Cluster) cniConfig() (string, error) {
	config := map[string]any{
		"cniVersion": "1.0.0",
		"name":       "pods",
		"plugins": []any{
			map[string]any{
				"type": "ptp", "ipMasq": false,
				"ipam": map[string]any{
					"type":   "host-local",
					"ranges": []any{[]any{map[string]any{"subnet": c.claim.Pods().String()}}},
					"routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode the pod network's configuration: %w", err)
	}
	return string(text) + "\n", nil
}

// kubeletConfig is the kubelet's configuration file.
func (c *Cluster) kubeletConfig() (string, error) {
	return encodeYAML(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{
			"x509":      map[string]any{"clientCAFile": filepath.Join(c.pki(), "ca.crt")},
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
		},
		"authorization":            map[string]any{"mode": "Webhook"},
		"tlsCertFile":              filepath.Join(c.pki(), "node.crt"),
		"tlsPrivateKeyFile":        filepath.Join(c.pki(), "node.key"),
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/" + c.claim.Cgroup() + "/pods",
		"failCgroupV1":             false,
		"failSwapOn":               false,
		"clusterDomain":            "cluster.local",
		"clusterDNS":               []string{c.claim.DNS().String()},
		"resolvConf":               c.conf("resolv.conf"),
		"volumePluginDir":          c.data("volume-plugins"),
		"maxPods":                  250,
		"podPidsLimit":             4096,
		"serializeImagePulls":      false,
		// Images are imported by hand and nobody pulls them again.
		"imageGCHighThresholdPercent": 100,
		"evictionHard": map[string]string{
			"memory.available": "200Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%",
		},
		"kubeAPIQPS": 200, "kubeAPIBurst": 400,
		// A container that is killed again and again starts again at once: tests do that.
		"crashLoopBackOff": map[string]any{"maxContainerRestartPeriod": "1s"},
		"logging":          map[string]any{"verbosity": 1},
	})
}

func (c *Cluster) kubeletArgs() []string {
	return []string{
		c.Binaries.Path("kubelet"),
		"--config=" + c.conf("kubelet.yaml"), "--kubeconfig=" + c.conf("node.kubeconfig"),
		"--hostname-override=" + c.nodeName(), "--node-ip=" + c.claim.Node().String(),
		"--node-labels=topology.kubernetes.io/region=" + c.Region + ",topology.kubernetes.io/zone=" + c.Zone,
	}
}

// proxyConfig is kube-proxy's configuration file. The connection tracking
// limit is the machine's, not the node's, and is left alone.
func (c *Cluster) proxyConfig() (string, error) {
	return encodeYAML(map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode":             "iptables",
		"clusterCIDR":      c.claim.Pods().String(),
		"clientConnection": map[string]any{"kubeconfig": c.conf("proxy.kubeconfig"), "qps": 200, "burst": 400},
		"hostnameOverride": c.nodeName(),
		"conntrack":        map[string]any{"maxPerCore": 0, "min": 0},
		"iptables":         map[string]any{"minSyncPeriod": "100ms"},
	})
}

// files writes the configuration files of the node's programs.
func (c *Cluster) files() error {
	kubelet, err := c.kubeletConfig()
	if err != nil {
		return err
	}
	proxy, err := c.proxyConfig()
	if err != nil {
		return err
	}
	cni, err := c.cniConfig()
	if err != nil {
		return err
	}
	c.contents = map[string]string{
		"containerd.toml":      containerdConfig(host.PluginDir(), snapshotter(c.Dir)),
		"kubelet.yaml":         kubelet,
		"proxy.yaml":           proxy,
		"cni/10-pods.conflist": cni,
		// Pods that use the node's DNS settings get none of the machine's.
		"resolv.conf": "nameserver " + c.claim.DNS().String() + "\n",
	}
	for name, text := range c.contents {
		if err := host.WriteFile(c.conf(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func encodeYAML(v any) (string, error) {
	text, err := yaml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode a configuration file: %w", err)
	}
	return string(text), nil
}
