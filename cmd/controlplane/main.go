// SPDX-License-Identifier: Apache-2.0

// Command controlplane programs the proxies of a mesh, signs their certificates and injects them into pods.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set by the linker.
var version = "dev"

func main() {
	if err := command().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := defaultOptions()
	c := &cobra.Command{
		Use:           "controlplane",
		Short:         "Program the proxies of a mesh, sign their certificates and inject them into pods",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			return run(c.Context(), o)
		},
	}
	o.bind(c.Flags())
	c.AddCommand(machineFileCommand(defaultOptions()))
	return c
}
