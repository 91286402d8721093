// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshwright/meshwright/test/cluster/loadbalancer"
	"github.com/meshwright/meshwright/test/cluster/node"
)

// The commands of this file are run by `up`, as processes of the cluster.

func holdCommand() *cobra.Command {
	return &cobra.Command{
		Use: "hold DIR", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return node.Hold(node.Layout{Dir: args[0]})
		},
	}
}

func enterCommand() *cobra.Command {
	return &cobra.Command{
		Use: "enter CGROUP PROGRAM [ARGS...]", Hidden: true, DisableFlagParsing: true, Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return node.Enter(args[0], args[1:])
		},
	}
}

func balancerCommand() *cobra.Command {
	var kubeconfig, addresses string
	cmd := &cobra.Command{
		Use: "lb", Short: "Give addresses to the Services of type LoadBalancer of a cluster", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			prefix, err := netip.ParsePrefix(addresses)
			if err != nil {
				return fmt.Errorf("--addresses %q: %w: give a range like 10.200.11.0/24", addresses, err)
			}
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return fmt.Errorf("read the kubeconfig %s: %w", kubeconfig, err)
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("make a client: %w", err)
			}
			log := func(format string, args ...any) {
				fmt.Fprintf(os.Stdout, time.Now().Format(time.RFC3339)+" "+format+"\n", args...)
			}
			return loadbalancer.Run(cmd.Context(), client, prefix, log)
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "the cluster's kubeconfig")
	cmd.Flags().StringVar(&addresses, "addresses", "", "the range to give addresses from")
	return cmd
}
