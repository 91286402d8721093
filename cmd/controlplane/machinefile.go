// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/internal/machinefile"
	"github.com/meshwright/meshwright/internal/meshconfig"
)

// maxManifest bounds what is read; objects of Kubernetes are smaller.
const maxManifest = 2 << 20

// machineFileCommand is here because the control plane's container knows the mesh: see docs/agent.md.
func machineFileCommand(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "machine-file",
		Short: "Read a WorkloadGroup from standard input and write the file by which its machines join the mesh",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			mesh, err := meshconfig.Load(o.meshConfig)
			if err != nil {
				return fmt.Errorf("--mesh-config=%s: %w", o.meshConfig, err)
			}
			manifest, err := io.ReadAll(io.LimitReader(c.InOrStdin(), maxManifest))
			if err != nil {
				return fmt.Errorf("read the WorkloadGroup: %w", err)
			}
			text, err := machinefile.Make(manifest, machinefile.Mesh{
				DiscoveryAddress: net.JoinHostPort(o.serverName(), "15012"), TrustDomain: mesh.TrustDomain,
				ClusterID: o.clusterID, ClusterDomain: o.clusterDomain,
			})
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	o.bind(c.Flags())
	return c
}
