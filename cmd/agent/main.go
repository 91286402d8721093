// SPDX-License-Identifier: Apache-2.0

// Command agent runs beside each proxy: see docs/agent.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/internal/agent"
	"github.com/meshwright/meshwright/internal/agent/redirect"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	os.Exit(execute(ctx))
}

func execute(ctx context.Context) int {
	root := &cobra.Command{
		Use:           "agent",
		Short:         "Captures a pod's traffic and runs its proxy",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(iptablesCommand(), proxyCommand(), machineCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "agent:", err)
	if errors.Is(err, errUnmarked) {
		return redirect.ExitUnmarked
	}
	var exit *agent.ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return 1
}

// logger writes JSON lines to standard error.
func logger(level string) (logr.Logger, error) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return logr.Logger{}, fmt.Errorf("--agent-log-level: %q is none of debug, info, warn, error", level)
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: parsed})), nil
}
