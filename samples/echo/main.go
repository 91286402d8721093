// SPDX-License-Identifier: Apache-2.0

// Command echo is a server that tells what arrived and a client that reports
// what came back. One image serves both ends of a test inside a mesh:
//
//	echo [server]       answers HTTP/1.1, h2c, WebSocket and gRPC on :8080 and TCP
//	                    on :9090, and speaks first on :9091
//	echo client URL     sends requests and prints one JSON report
//	echo forward URL    is a reverse proxy that knows nothing of a mesh
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	root := &cobra.Command{
		Use:           "echo",
		Short:         "Tell what arrived (server), report what came back (client), or stand between (forward)",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	server := serverCommand()
	root.AddCommand(server, clientCommand(), forwardCommand())
	root.RunE = func(cmd *cobra.Command, _ []string) error { return runServer(cmd.Context(), defaultServer()) }
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}
