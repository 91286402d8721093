// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command cni is the mesh's CNI plugin, and the agent of a node that installs it
// and does its work. The container runtime calls it with CNI_COMMAND set.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	if os.Getenv("CNI_COMMAND") != "" {
		plugin() // does not return with an error
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cni:", err)
		stop()
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "cni", Short: "Redirects pods' traffic to their proxies from outside of the pods",
		Version: version, SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(nodeCommand(), readyCommand())
	return root
}
