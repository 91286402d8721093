// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/meshwright/meshwright/test/cluster/addon"
	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/process"
)

// Status writes what the cluster is made of and whether each part works. The
// error names the first part that does not.
func (c *Cluster) Status(ctx context.Context) error {
	s, err := c.readState()
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("cluster %s does not exist: run `up %s`", c.Name, c.Name)
	}
	w := tabwriter.NewWriter(c.Out, 0, 4, 2, ' ', 0)
	defer w.Flush()
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	row("kubeconfig", c.Kubeconfig())
	row("logs", c.Logs())
	if s.Plan != nil {
		row("node", s.Plan.Node())
		row("pods", s.Plan.Pods())
		row("services", s.Plan.Services())
		row("load balancers", s.Plan.LoadBalancers())
	}
	var dead []string
	records, err := filepath.Glob(filepath.Join(c.run(), "*.pid"))
	if err != nil {
		return fmt.Errorf("list the processes of %s: %w", c.Name, err)
	}
	sort.Strings(records)
	for _, file := range records {
		name := strings.TrimSuffix(filepath.Base(file), ".pid")
		record, ok := process.Read(file)
		if !ok || !record.Alive() {
			dead = append(dead, name)
			row(name, "not running")
			continue
		}
		row(name, fmt.Sprintf("process %d", record.PID))
		if name == "holder" {
			row("enter the node", fmt.Sprintf("nsenter --target %d --mount --net", record.PID))
		}
	}
	if len(dead) > 0 || len(records) == 0 {
		return fmt.Errorf("cluster %s is not whole (not running: %s): run `up %s` to repair it", c.Name, strings.Join(dead, ", "), c.Name)
	}
	return c.answers(ctx, s.Plan)
}

// answers asks the API server for the health of node and DNS, which a bare
// cluster, without a plan, does not have.
func (c *Cluster) answers(ctx context.Context, plan *address.Plan) error {
	config, err := c.Client()
	if err != nil {
		return err
	}
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", c.Name, err)
	}
	if _, err := client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		return fmt.Errorf("the API server of %s is not ready: %w; run `up %s` to repair it", c.Name, err, c.Name)
	}
	if plan == nil {
		return nil
	}
	for what, ask := range map[string]func() (bool, string, error){
		"node": func() (bool, string, error) { return nodeReady(ctx, client, c.nodeName(), time.Time{}) },
		"DNS":  func() (bool, string, error) { return addon.Ready(ctx, client, plan.DNS()) },
	} {
		ok, why, err := ask()
		if err != nil {
			return fmt.Errorf("the %s of %s: %w; run `up %s` to repair it", what, c.Name, err, c.Name)
		}
		if !ok {
			return fmt.Errorf("the %s of %s is not ready (%s): run `up %s` to repair it", what, c.Name, why, c.Name)
		}
	}
	return nil
}
