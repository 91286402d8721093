// SPDX-License-Identifier: Apache-2.0

// Command demo sets up a working mesh with an application and shows what the
// mesh does, with measured figures; everything stays up until `demo down`.
//
//	go run ./test/demo up [--cluster NAME]
//	go run ./test/demo down [--cluster NAME]
//
// Without KUBECONFIG it starts a local cluster. With KUBECONFIG it uses that
// cluster, and pushes the images to IMAGE_REGISTRY.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/test/e2e/env"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var name string
	var skipPush bool
	root := &cobra.Command{
		Use:           "demo",
		Short:         "Set up a working mesh with an application, and show what it does",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&name, "cluster", "east", "name of the local cluster, when KUBECONFIG is not set")
	up := &cobra.Command{
		Use:   "up",
		Short: "Set everything up and measure",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := newDemo(name, skipPush)
			if err := d.run(cmd.Context(), d.upSteps()); err != nil {
				return err
			}
			d.farewell()
			return nil
		},
	}
	up.Flags().BoolVar(&skipPush, "skip-push", false, "with KUBECONFIG: the images are in the registry already")
	root.AddCommand(up, &cobra.Command{
		Use:   "down",
		Short: "Remove what up made",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := newDemo(name, false)
			return d.run(cmd.Context(), d.downSteps())
		},
	})
	return root
}

// demo is one run: where it happens, and what the steps hand on.
type demo struct {
	kubeconfig string
	local      string // name of the local cluster, empty for the user's own
	skipPush   bool
	out        *printer

	cluster *env.Cluster
	address string // of the ingress gateway
	fresh   bool   // the images changed in this run
}

func newDemo(name string, skipPush bool) *demo {
	d := &demo{local: name, skipPush: skipPush, out: newPrinter(os.Stdout)}
	d.kubeconfig = filepath.Join(".cluster", name, "kubeconfig")
	given := os.Getenv("KUBECONFIG")
	if given == "" {
		return d
	}
	if local, ok := localCluster(given); ok { // exported to look at an earlier demo
		d.local, d.kubeconfig = local, given
		return d
	}
	d.local, d.kubeconfig = "", given
	return d
}

// localCluster tells whether a kubeconfig is that of a local cluster of this
// checkout, and of which.
func localCluster(kubeconfig string) (string, bool) {
	path, err := filepath.Abs(kubeconfig)
	if err != nil {
		return "", false
	}
	root, err := filepath.Abs(".cluster")
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(root, path)
	if err != nil || filepath.Base(rel) != "kubeconfig" || filepath.Dir(filepath.Dir(rel)) != "." {
		return "", false
	}
	name := filepath.Dir(rel)
	return name, name != "." && name != ".."
}

func (d *demo) farewell() {
	d.out.note("")
	d.out.note("Everything is up. Open        http://%s/productpage   (sign in as jason to see v2 of reviews)", d.address)
	d.out.note("Look around with              export KUBECONFIG=%s", d.absolute())
	d.out.note("Remove all of it with         make demo-down")
}

func (d *demo) absolute() string {
	if path, err := filepath.Abs(d.kubeconfig); err == nil {
		return path
	}
	return d.kubeconfig
}
