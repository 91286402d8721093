// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshwright/meshwright/internal/agent/resolvconf"
	"github.com/meshwright/meshwright/internal/cni/conflist"
	"github.com/meshwright/meshwright/internal/cni/node"
	"github.com/meshwright/meshwright/internal/cni/socket"
)

// socketName is the socket's in its directory.
const socketName = "agent.sock"

// handlePatience is for how long the agent works on one pod; the plugin's is a
// little more.
const handlePatience = patience - time.Second

// options are the flags; docs/cni.md explains them.
type options struct {
	binDir, confDir   string
	chained           bool
	socketDir, onHost string
	excluded          []string
	node              string
	namespace, name   string
	repair            bool
	resolvConf        string
	kubeconfig        string
	logLevel          string
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringVar(&o.binDir, "bin-dir", "/host/bin", "directory of the runtime's CNI plugins")
	f.StringVar(&o.confDir, "conf-dir", "/host/conf", "directory of the runtime's CNI configuration")
	f.BoolVar(&o.chained, "chained", true, "put the plugin at the end of the cluster's list of plugins; off: a configuration of its own, for who calls it by name")
	f.StringVar(&o.socketDir, "socket-dir", "/var/run/meshwright-cni", "directory of the socket on which the plugin asks")
	f.StringVar(&o.onHost, "host-socket-dir", "", "the same directory as the host names it; empty: by the same name")
	f.StringSliceVar(&o.excluded, "exclude-namespaces", nil, "namespaces whose pods are left alone without a question")
	f.StringVar(&o.node, "node", os.Getenv("NODE_NAME"), "name of this node")
	f.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the DaemonSet")
	f.StringVar(&o.name, "daemonset", "meshwright-cni", "name of the DaemonSet; when it is gone, the plugin is removed")
	f.BoolVar(&o.repair, "repair", true, "delete pods that started before the plugin was there")
	f.StringVar(&o.resolvConf, "resolv-conf", resolvconf.Path, "file with the cluster's name servers")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; empty: the pod's service account")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
}

func (o *options) installer(log logr.Logger) (*node.Installer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	dir := o.onHost
	if dir == "" {
		dir = o.socketDir
	}
	return &node.Installer{
		Program: program, BinDir: o.binDir, ConfDir: o.confDir, Chained: o.chained, Log: log,
		Plugin: conflist.Plugin{Socket: filepath.Join(dir, socketName), ExcludeNamespaces: o.excluded},
	}, nil
}

func nodeCommand() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use: "node", Short: "Install the plugin on this node, and redirect pods' traffic", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	o.bind(c.Flags())
	return c
}

func readyCommand() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use: "ready", Short: "Tell whether the plugin of this node is installed and would be answered; takes the flags of node", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			installer, err := o.installer(logr.Discard())
			if err != nil {
				return err
			}
			conn, err := net.DialTimeout("unixpacket", filepath.Join(o.socketDir, socketName), time.Second)
			if err != nil {
				return err
			}
			return errors.Join(conn.Close(), installer.Installed())
		},
	}
	o.bind(c.Flags())
	return c
}

func (o *options) run(ctx context.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return fmt.Errorf("--log-level: %q is none of debug, info, warn, error", o.logLevel)
	}
	log := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	restConfig, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read access to the API server: %w", err)
	}
	restConfig.QPS, restConfig.Burst = 50, 100
	clients, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	installer, err := o.installer(log)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.socketDir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the socket: %w", err)
	}
	redirector := &node.Redirector{
		Pods:        func(namespace string) node.Pods { return clients.CoreV1().Pods(namespace) },
		NameServers: o.nameServers(log), Log: log,
	}
	group, inner := errgroup.WithContext(ctx)
	// The socket comes before the plugin is installed, so that no pod waits for it.
	group.Go(func() error {
		return socket.Serve(inner, filepath.Join(o.socketDir, socketName), handlePatience, redirector.Handle)
	})
	group.Go(func() error { return installer.Keep(inner) })
	if o.repair {
		repairer := &node.Repairer{Clients: clients, Node: o.node, Log: log}
		group.Go(func() error { return repairer.Run(inner) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if !o.gone(clients) {
		return nil
	}
	log.Info("the DaemonSet is gone; removing the plugin from this node")
	return installer.Remove()
}

func (o *options) nameServers(log logr.Logger) []netip.Addr {
	resolver, err := resolvconf.Read(o.resolvConf)
	if err != nil {
		log.Info("the cluster's name servers are not known, so queries to them are not redirected", "error", err.Error())
		return nil
	}
	return resolver.Servers
}

// gone tells whether this agent is the last: its DaemonSet is deleted, or so are
// its rights. An agent that is replaced leaves the plugin for the next.
func (o *options) gone(clients kubernetes.Interface) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	set, err := clients.AppsV1().DaemonSets(o.namespace).Get(ctx, o.name, metav1.GetOptions{})
	if err == nil {
		return set.DeletionTimestamp != nil
	}
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}
