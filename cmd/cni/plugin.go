// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"github.com/meshwright/meshwright/internal/cni/conflist"
	"github.com/meshwright/meshwright/internal/cni/socket"
)

// patience is less than that of the kubelet, which tries again.
const patience = 20 * time.Second

// config is what is in the list of plugins.
type config struct {
	types.PluginConf
	ours conflist.Plugin
}

// names are the kubelet's arguments.
type names struct {
	types.CommonArgs
	K8S_POD_NAME      types.UnmarshallableString //nolint:staticcheck // The field's name is the argument's.
	K8S_POD_NAMESPACE types.UnmarshallableString //nolint:staticcheck // The field's name is the argument's.
	K8S_POD_UID       types.UnmarshallableString //nolint:staticcheck // The field's name is the argument's.
}

// plugin does what the runtime asks for. What was redirected goes with the pod's
// network namespace, so there is nothing to delete.
func plugin() {
	nothing := func(*skel.CmdArgs) error { return nil }
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add:    func(args *skel.CmdArgs) error { return add(args, os.Stdout) },
		Check:  check,
		Del:    nothing,
		GC:     nothing,
		Status: nothing,
	}, cniversion.All, conflist.Type+" "+version)
}

func add(args *skel.CmdArgs, out *os.File) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	if err := ask(args, c, false); err != nil {
		return err
	}
	if c.PrevResult == nil { // Called by name, beside the plugins that made the network.
		c.PrevResult = &current.Result{CNIVersion: current.ImplementedSpecVersion}
	}
	result, err := c.PrevResult.GetAsVersion(c.CNIVersion)
	if err != nil {
		return fmt.Errorf("write the result in version %s: %w", c.CNIVersion, err)
	}
	return result.PrintTo(out)
}

func check(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	return ask(args, c, true)
}

func parse(stdin []byte) (*config, error) {
	c := &config{}
	if err := json.Unmarshal(stdin, &c.PluginConf); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if err := json.Unmarshal(stdin, &c.ours); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if err := cniversion.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, fmt.Errorf("read the result of the plugins before: %w", err)
	}
	return c, nil
}

// ask has the node's agent act on a pod.
func ask(args *skel.CmdArgs, c *config, checking bool) error {
	of := names{CommonArgs: types.CommonArgs{IgnoreUnknown: true}}
	if err := types.LoadArgs(args.Args, &of); err != nil {
		return fmt.Errorf("read CNI_ARGS: %w", err)
	}
	namespace, pod := string(of.K8S_POD_NAMESPACE), string(of.K8S_POD_NAME)
	if pod == "" || slices.Contains(c.ours.ExcludeNamespaces, namespace) {
		return nil
	}
	file, err := os.Open(args.Netns)
	if err != nil {
		return fmt.Errorf("open the pod's network namespace: %w", err)
	}
	defer file.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return socket.Ask(ctx, c.ours.Socket, socket.Question{
		Check: checking, Namespace: namespace, Pod: pod, UID: string(of.K8S_POD_UID),
	}, file)
}
