// SPDX-License-Identifier: Apache-2.0

// Package cli holds the commands of meshctl: flags, and which noun does the
// work. Results go to the standard output, everything else to the other one.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/internal/revision"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes, as docs/meshctl.md has them.
const (
	codeDone     = 0
	codeFailed   = 1
	codeUsage    = 2
	codePrecheck = 3
	codeTimeout  = 4
	codeDiffers  = 5
)

// exit is an error that says with which code meshctl ends. Without an inner
// error nothing is printed: the result has said it.
type exit struct {
	code int
	err  error
}

// Error is what is printed.
func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the inner error.
func (e *exit) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exit{code: codeUsage, err: fmt.Errorf(format, args...)}
}

// Run runs one command and returns the code that the process ends with.
func Run(ctx context.Context, args []string, streams Streams) int {
	begun := false
	root := newRoot(streams, &begun)
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return codeDone
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(streams.Err, "meshctl:", text)
	}
	var e *exit
	switch {
	case errors.As(err, &e):
		return e.code
	case !begun:
		// What cobra itself refuses: an unknown command, flag or argument.
		fmt.Fprintln(streams.Err, "meshctl: give --help for what there is")
		return codeUsage
	}
	return codeFailed
}

func newRoot(streams Streams, begun *bool) *cobra.Command {
	s := &session{Streams: streams}
	c := &cobra.Command{
		Use:   "meshctl",
		Short: "Installs, upgrades, inspects and removes meshes",
		Long: `meshctl installs, upgrades, inspects and removes meshes.

It writes MeshOperator objects and reads what the operator says of them; all that it does can be done with kubectl, too.`,
		Version:           revision.Version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDescriptions: false},
		PersistentPreRun:  func(*cobra.Command, []string) { *begun = true },
	}
	f := c.PersistentFlags()
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file; empty: $KUBECONFIG, then ~/.kube/config, then the pod's service account")
	f.StringVar(&s.context, "context", "", "context of the kubeconfig; empty: the current one")
	f.StringVar(&s.as, "as", "", "user to act as")
	f.StringSliceVar(&s.asGroups, "as-group", nil, "group to act as; may be given again")
	c.AddCommand(
		newPrecheck(s),
		newInstall(s),
		newUpgrade(s),
		newRollback(s),
		newStatus(s),
		newUninstall(s),
		newTag(s),
		newManifest(s),
		newProfile(s),
		newVersion(s),
	)
	c.AddCommand(newControls(s)...)
	return c
}
