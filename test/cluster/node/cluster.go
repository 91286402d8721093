// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshwright/meshwright/test/cluster/addon"
	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/binary"
	"github.com/meshwright/meshwright/test/cluster/cgroup"
	"github.com/meshwright/meshwright/test/cluster/host"
	"github.com/meshwright/meshwright/test/cluster/image"
	"github.com/meshwright/meshwright/test/cluster/network"
	"github.com/meshwright/meshwright/test/cluster/pki"
	"github.com/meshwright/meshwright/test/cluster/process"
)

// upSpace is the free space that a cluster needs for its start.
const upSpace = 2 << 30

// apiPort is where a cluster's API server listens on its node's address.
const apiPort = 6443

// Options are the choices of a cluster's user.
type Options struct {
	// Region and Zone are the node's topology labels.
	Region, Zone string
	// Network joins clusters whose pods reach each other directly.
	Network string
}

// Cluster is one local cluster.
type Cluster struct {
	Layout
	Options
	// Binaries has the programs.
	Binaries *binary.Cache
	// Registry numbers the clusters of this machine.
	Registry address.Registry
	// Out gets a line for each step.
	Out io.Writer

	claim     address.Claim
	authority *pki.Authority
	contents  map[string]string
	holder    *process.Running
}

func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.Out, format+"\n", args...)
}

// Up brings the cluster up, from nothing or from whatever a crash left, and
// returns when its node and its DNS are ready. A healthy cluster is left alone.
func (c *Cluster) Up(ctx context.Context) error {
	started := time.Now()
	if err := c.preflight(ctx); err != nil {
		return err
	}
	unlock, err := host.Lock(ctx, c.lockFile(), func() { c.say("another run works on cluster %s - waiting for it", c.Name) })
	if err != nil {
		return err
	}
	defer unlock()
	if s, err := c.readState(); err != nil {
		return err
	} else if s != nil && s.Ports != nil {
		return fmt.Errorf("cluster %s is an API server alone (--bare): take it down first, or choose another name", c.Name)
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.join(ctx); err != nil {
		return err
	}
	if err := c.programs(ctx); err != nil {
		return err
	}
	c.say("cluster %s: ready after %s", c.Name, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// preflight checks the machine and completes what it lacks.
func (c *Cluster) preflight(ctx context.Context) error {
	if err := host.CheckPlatform(); err != nil {
		return err
	}
	if err := host.CheckRoot(); err != nil {
		return err
	}
	if err := host.Install(ctx, func(line string) { c.say("%s", line) }); err != nil {
		return err
	}
	if err := host.CheckSpace(c.Dir, upSpace); err != nil {
		return err
	}
	return c.Binaries.Ensure(ctx, "kubernetes", "etcd", "coredns", "pause")
}

// prepare claims addresses and writes all files that programs start with.
func (c *Cluster) prepare(ctx context.Context) error {
	old, err := c.readState()
	if err != nil {
		return err
	}
	if old != nil && old.Boot != c.Registry.Boot {
		old.Plan = nil
	}
	var prefer *address.Plan
	if old != nil {
		prefer = old.Plan
	}
	if c.claim, err = c.Registry.Claim(ctx, c.claimRequest(), prefer, network.Taken); err != nil {
		return err
	}
	if prefer == nil || *prefer != c.claim.Plan {
		if old != nil {
			c.say("cluster %s: the machine was restarted or its addresses are lost; making it anew", c.Name)
		}
		if err := cgroup.New(c.claim.Cgroup()).Kill(ctx); err != nil {
			return err
		}
		if err := c.wipe(); err != nil {
			return err
		}
	}
	if err := c.writeState(state{Boot: c.Registry.Boot, Plan: &c.claim.Plan}); err != nil {
		return err
	}
	if err := c.installSelf(); err != nil {
		return err
	}
	if err := c.certificates(); err != nil {
		return err
	}
	return c.files()
}

func (c *Cluster) claimRequest() address.Claim {
	return address.Claim{Name: c.Name, State: c.Dir, Network: c.Network}
}

// join makes cgroups, namespaces, links and routes.
func (c *Cluster) join(ctx context.Context) error {
	if err := cgroup.New(c.claim.Cgroup()).Create(); err != nil {
		return err
	}
	var err error
	if c.holder, err = c.ensureHolder(ctx); err != nil {
		return err
	}
	// The bridge and the routes between clusters are shared with other runs.
	unlock, err := c.Registry.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := network.EnsureBridge(c.claim.Plan); err != nil {
		return err
	}
	if err := network.EnsureNode(c.claim.Plan, c.holder.PID()); err != nil {
		return err
	}
	return c.eachPeer(func(peer address.Claim, pid int) error {
		pods := peer.Network == c.claim.Network
		if err := network.Connect(c.holder.PID(), network.Peer{Plan: peer.Plan, Pods: pods}); err != nil {
			return err
		}
		return network.Connect(pid, network.Peer{Plan: c.claim.Plan, Pods: pods})
	})
}

// eachPeer calls do for every other cluster that runs, with its holder.
func (c *Cluster) eachPeer(do func(peer address.Claim, pid int) error) error {
	claims, err := c.Registry.List()
	if err != nil {
		return err
	}
	for _, peer := range claims {
		if peer.State == c.Dir {
			continue
		}
		l := Layout{Dir: peer.State, Name: peer.Name}
		record, ok := process.Read(filepath.Join(l.run(), "holder.pid"))
		if !ok || !record.Alive() {
			continue // its next `up` makes the routes
		}
		if text, err := os.ReadFile(l.ready()); err != nil || string(text) != strconv.Itoa(record.PID)+"\n" {
			continue // it is starting, and will see this cluster
		}
		if err := do(peer, record.PID); err != nil {
			return fmt.Errorf("connect with cluster %s: %w", peer.Name, err)
		}
	}
	return nil
}

// programs starts everything, in parallel where nothing has to wait.
func (c *Cluster) programs(ctx context.Context) error {
	group, early := errgroup.WithContext(ctx)
	group.Go(func() error { return c.runtime(early) })
	group.Go(func() error { return c.controlPlane(early) })
	if err := group.Wait(); err != nil {
		return err
	}
	started := time.Now()
	kubelet, err := c.service("kubelet", c.kubeletArgs(), c.contents["kubelet.yaml"]).Ensure(ctx)
	if err != nil {
		return err
	}
	proxy, err := c.service("kube-proxy", []string{c.Binaries.Path("kube-proxy"), "--config=" + c.conf("proxy.yaml")}, c.contents["proxy.yaml"]).Ensure(ctx)
	if err != nil {
		return err
	}
	balancer, err := c.loadBalancer(ctx)
	if err != nil {
		return err
	}
	client, err := c.Client()
	if err != nil {
		return err
	}
	if err := addon.Apply(ctx, client, addon.DNS{Image: c.dnsTag(), Address: c.claim.DNS()}); err != nil {
		return err
	}
	watch := func() error { return firstError(kubelet, proxy, balancer) }
	if !kubelet.Fresh {
		started = time.Time{}
	}
	return c.waitReady(ctx, client, started, watch)
}

// runtime starts containerd and gives it the images that the node itself needs.
func (c *Cluster) runtime(ctx context.Context) error {
	running, err := c.service("containerd", []string{host.Find("containerd"), "--config", c.conf("containerd.toml")}, c.contents["containerd.toml"]).Ensure(ctx)
	if err != nil {
		return err
	}
	images := []struct{ program, tag, user string }{{"pause", pauseImage, "65535:65535"}, {"coredns", c.dnsTag(), "65532:65532"}}
	var files []string
	for _, i := range images {
		program := c.Binaries.Path(i.program)
		file := filepath.Join(filepath.Dir(program), "image.tar")
		if err := image.Write(image.Program{Tag: i.tag, File: program, User: i.user}, file); err != nil {
			return err
		}
		files = append(files, file)
	}
	if err := poll(ctx, 30*time.Second, 50*time.Millisecond, "containerd", func() (bool, error) {
		return c.containerdAnswers(ctx), running.Err()
	}); err != nil {
		return c.withLog(running, err)
	}
	return c.importImages(ctx, files)
}

// controlPlane starts etcd, the API server and the controllers.
func (c *Cluster) controlPlane(ctx context.Context) error {
	client, peer := netip.AddrPortFrom(loopback, 2379), netip.AddrPortFrom(loopback, 2380)
	health := netip.AddrPortFrom(c.claim.Node(), 2381)
	etcd, err := c.service("etcd", etcdArgs(c.Binaries.Path("etcd"), c.data("etcd"), client, peer, health)).Ensure(ctx)
	if err != nil {
		return err
	}
	if err := waitEtcd(ctx, etcd, health); err != nil {
		return err
	}
	server := apiServer{
		program: c.Binaries.Path("kube-apiserver"), pki: c.pki(), etcd: client,
		bind:      netip.AddrPortFrom(netip.IPv4Unspecified(), apiPort),
		advertise: c.claim.Node(), services: c.claim.Services(),
	}
	api, err := c.service("kube-apiserver", server.args(), string(c.authority.CertPEM())).Ensure(ctx)
	if err != nil {
		return err
	}
	if err := waitServer(ctx, c.Layout, etcd, api); err != nil {
		return err
	}
	controllers, err := c.service("kube-controller-manager", c.controllerManagerArgs()).Ensure(ctx)
	if err != nil {
		return err
	}
	scheduler, err := c.service("kube-scheduler", c.schedulerArgs()).Ensure(ctx)
	if err != nil {
		return err
	}
	return firstError(controllers, scheduler)
}

func (c *Cluster) loadBalancer(ctx context.Context) (*process.Running, error) {
	// A newer program replaces the one that runs.
	info, err := os.Stat(c.self())
	if err != nil {
		return nil, fmt.Errorf("look up the cluster's copy of this program: %w", err)
	}
	return c.service("load-balancer", []string{c.self(), "lb", "--kubeconfig", c.Kubeconfig(), "--addresses", c.claim.LoadBalancers().String()},
		strconv.FormatInt(info.Size(), 10)).Ensure(ctx)
}

// service is a program in the node's cgroup and namespaces.
func (c *Cluster) service(name string, args []string, inputs ...string) process.Service {
	return process.Service{
		Name: name, Args: args, Inputs: inputs,
		Prefix: []string{
			c.self(), "enter", c.claim.Cgroup(),
			"nsenter", "--target", strconv.Itoa(c.holder.PID()), "--mount", "--net", "--",
		},
		Env:    c.environment(),
		RunDir: c.run(), LogDir: c.Logs(),
	}
}

// environment is what programs get: nothing of the user's.
func (c *Cluster) environment() []string {
	return []string{"PATH=" + host.SearchPath(), "HOME=/root"}
}

func (c *Cluster) server() string { return fmt.Sprintf("https://%s:%d", c.claim.Node(), apiPort) }
func (c *Cluster) dnsTag() string { return dnsImage + ":" + c.Binaries.Version("coredns") }

// Client is an administrator's client of the cluster's API server.
func (l Layout) Client() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", l.Name, err)
	}
	config.QPS, config.Burst = 100, 200
	return config, nil
}

// waitServer waits until the API server says that it is ready.
func waitServer(ctx context.Context, l Layout, services ...*process.Running) error {
	config, err := l.Client()
	if err != nil {
		return err
	}
	config.Timeout = 2 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", l.Name, err)
	}
	err = poll(ctx, 90*time.Second, 100*time.Millisecond, "the API server of "+l.Name, func() (bool, error) {
		if err := firstError(services...); err != nil {
			return false, err
		}
		_, err := client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w; logs are in %s", err, l.Logs())
	}
	return nil
}

func (c *Cluster) withLog(r *process.Running, err error) error {
	return fmt.Errorf("%w; the end of %s: %s", err, r.Service.LogFile(), r.Service.LogTail())
}

func firstError(services ...*process.Running) error {
	for _, s := range services {
		if err := s.Err(); err != nil {
			return err
		}
	}
	return nil
}
