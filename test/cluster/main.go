// SPDX-License-Identifier: Apache-2.0

// Command cluster runs local Kubernetes clusters for development and tests,
// with real parts and without Docker. See docs/local-cluster.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/binary"
	"github.com/meshwright/meshwright/test/cluster/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Client libraries log to standard error; failures are reported by us.
	klog.LogToStderr(false)
	klog.SetOutput(nowhere{})
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster: "+oneLine(err))
		stop()
		os.Exit(1)
	}
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// oneLine keeps an error on one line, whatever it wraps.
func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", " | ")), " ")
}

// command is the whole command line.
func command() *cobra.Command {
	var dir string
	root := &cobra.Command{
		Use: "cluster", Short: "Local Kubernetes clusters without Docker",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&dir, "dir", "", "directory of the clusters' state (default: .cluster of the repository)")
	root.AddCommand(
		upCommand(&dir), downCommand(&dir), statusCommand(&dir), loadCommand(&dir), binariesCommand(),
		holdCommand(), enterCommand(), balancerCommand(),
	)
	return root
}

// open is the cluster called name, with everything that its actions need.
func open(dir, name string) (*node.Cluster, error) {
	source, err := sourceDir()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = filepath.Join(source, "..", "..", ".cluster")
	}
	layout, err := node.NewLayout(dir, name)
	if err != nil {
		return nil, err
	}
	cache, err := binary.Open(source, os.Stdout)
	if err != nil {
		return nil, err
	}
	registry, err := address.NewRegistry()
	if err != nil {
		return nil, err
	}
	return &node.Cluster{Layout: layout, Binaries: cache, Registry: registry, Out: os.Stdout}, nil
}

// sourceDir is test/cluster of the repository that the command was started in.
func sourceDir() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the current directory: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/meshwright/meshwright\n") {
			return filepath.Join(dir, "test", "cluster"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not within the repository: run this from there", start)
		}
	}
}

func upCommand(dir *string) *cobra.Command {
	var options node.Options
	var bare bool
	var port uint16
	cmd := &cobra.Command{
		Use: "up NAME", Short: "Bring a cluster up, or repair it, and print its kubeconfig's path", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := open(*dir, args[0])
			if err != nil {
				return err
			}
			// Everything but the result goes to standard error.
			c.Out, c.Binaries.Out = os.Stderr, os.Stderr
			c.Options = options
			if c.Region == "" {
				c.Region = "region-" + c.Name
			}
			if c.Zone == "" {
				c.Zone = "zone-" + c.Name
			}
			if bare {
				err = c.UpBare(cmd.Context(), port)
			} else {
				err = c.Up(cmd.Context())
			}
			if err == nil {
				fmt.Println(c.Kubeconfig())
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&bare, "bare", false, "only etcd and an API server, on loopback; needs no root")
	cmd.Flags().Uint16Var(&port, "api-port", 0, "with --bare: the API server's port (default: a free one)")
	cmd.Flags().StringVar(&options.Region, "region", "", "the node's region label (default region-NAME)")
	cmd.Flags().StringVar(&options.Zone, "zone", "", "the node's zone label (default zone-NAME)")
	cmd.Flags().StringVar(&options.Network, "network", "flat", "pods of clusters with the same value reach each other directly")
	return cmd
}

func downCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "down NAME", Short: "End a cluster and remove everything that it made", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := open(*dir, args[0])
			if err != nil {
				return err
			}
			return c.Down(cmd.Context())
		},
	}
}

func statusCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "status NAME", Short: "Show a cluster's parts, addresses and health", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := open(*dir, args[0])
			if err != nil {
				return err
			}
			return c.Status(cmd.Context())
		},
	}
}

func loadCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "load-image NAME FILE...", Short: "Import image tarballs into a cluster", Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := open(*dir, args[0])
			if err != nil {
				return err
			}
			return c.LoadImages(cmd.Context(), args[1:])
		},
	}
}

func binariesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "binaries [PART...]", Short: "Build the programs (kubernetes, etcd, coredns, pause, flux, argocd; default all) into the cache",
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := sourceDir()
			if err != nil {
				return err
			}
			cache, err := binary.Open(source, os.Stdout)
			if err != nil {
				return err
			}
			return cache.Ensure(cmd.Context(), args...)
		},
	}
}
