// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshwright/meshwright/test/cluster/host"
	"github.com/meshwright/meshwright/test/cluster/process"
)

// socket is containerd's socket as the host sees it: through the holder's
// view of the file system.
func (c *Cluster) socket() string {
	return fmt.Sprintf("/proc/%d/root%s", c.holder.PID(), containerdSocket)
}

func (c *Cluster) containerdAnswers(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", c.socket())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// LoadImages imports image tarballs into the cluster's containerd.
func (c *Cluster) LoadImages(ctx context.Context, files []string) error {
	if err := host.CheckRoot(); err != nil {
		return err
	}
	record, ok := process.Read(filepath.Join(c.run(), "holder.pid"))
	if !ok || !record.Alive() {
		return fmt.Errorf("cluster %s is not up: run `up %s` first", c.Name, c.Name)
	}
	c.holder = process.Found(c.holderService(), record)
	if !c.containerdAnswers(ctx) {
		return fmt.Errorf("containerd of cluster %s does not answer: run `up %s` to repair it", c.Name, c.Name)
	}
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return fmt.Errorf("image file %s: %w", f, err)
		}
	}
	return c.importImages(ctx, files)
}

// importImages imports one tarball after the other; layers that containerd
// has already cost nothing.
func (c *Cluster) importImages(ctx context.Context, files []string) error {
	for _, f := range files {
		path, err := filepath.Abs(f)
		if err != nil {
			return fmt.Errorf("image file %s: %w", f, err)
		}
		cmd := exec.CommandContext(ctx, host.Find("ctr"), "--address", c.socket(), "--namespace", "k8s.io", "images", "import", path)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("import %s: %w: %s", f, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
