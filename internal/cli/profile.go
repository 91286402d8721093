// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/difference"
	"github.com/meshwright/meshwright/internal/cli/printer"
	"github.com/meshwright/meshwright/internal/cli/wanted"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
)

func newProfile(s *session) *cobra.Command {
	c := &cobra.Command{Use: "profile", Short: "Shows the profiles that a MeshOperator may name", Args: cobra.NoArgs}
	c.AddCommand(newProfileList(s), newProfileDump(s), newProfileDiff(s))
	return c
}

// described is a profile in a list.
type described struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

func newProfileList(s *session) *cobra.Command {
	format := printer.Table
	c := &cobra.Command{
		Use: "list", Short: "Lists the profiles", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var all []described
			for _, name := range profile.Names() {
				text, err := profile.Describe(name)
				if err != nil {
					return err
				}
				all = append(all, described{Name: name, Description: text})
			}
			return printer.Print(s.Out, format, all, func(w io.Writer) {
				rows := make([][]string, len(all))
				for i, p := range all {
					rows[i] = []string{p.Name, p.Description}
				}
				printer.Columns(w, []string{"NAME", "FOR"}, rows)
			})
		},
	}
	outputFlag(c, &format)
	return c
}

func newProfileDump(s *session) *cobra.Command {
	format, w, charts := printer.YAML, wanted.Source{}, false
	c := &cobra.Command{
		Use: "dump [PROFILE]", Short: "Shows what a profile, or a mesh with it, means: every value that is in effect",
		Example: "  meshctl profile dump demo\n  meshctl profile dump -f mesh.yaml --set meshConfig.accessLogFile=\n  meshctl profile dump demo --values",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: completeProfiles,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				w.Profile = args[0]
			}
			mesh, err := s.read(w)
			if err != nil {
				return err
			}
			resolved, err := profile.Resolve(mesh.Spec)
			if err != nil {
				return err
			}
			if !charts {
				return dump(s.Out, format, resolved)
			}
			plan, err := revision.Plan(resolved, revision.Platform{Registry: defaultRegistry})
			if err != nil {
				return err
			}
			return dump(s.Out, format, plan)
		},
	}
	wishFlags(c, &w)
	outputFlag(c, &format)
	c.Flags().BoolVar(&charts, "values", false, "show the charts with the values that they are rendered with")
	return c
}

// dump writes a structure; a table of it would be YAML anyway.
func dump(w io.Writer, format printer.Format, value any) error {
	if format == printer.Table {
		format = printer.YAML
	}
	return printer.Print(w, format, value, nil)
}

func newProfileDiff(s *session) *cobra.Command {
	format := printer.Table
	c := &cobra.Command{
		Use: "diff PROFILE PROFILE", Short: "Shows in which values two profiles differ",
		Args: cobra.ExactArgs(2), ValidArgsFunction: completeProfiles,
		RunE: func(_ *cobra.Command, args []string) error {
			sides := make([]any, len(args))
			for i, name := range args {
				resolved, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: name})
				if err != nil {
					return err
				}
				resolved.Profile = ""
				if sides[i], err = tree(resolved); err != nil {
					return err
				}
			}
			return differs(s.Out, format, difference.Fields("", sides[0], sides[1]))
		},
	}
	outputFlag(c, &format)
	return c
}

// differs prints changes, and ends with the code that says whether there are any.
func differs(w io.Writer, format printer.Format, changes []difference.Change) error {
	if changes == nil {
		changes = []difference.Change{}
	}
	err := printer.Print(w, format, changes, func(w io.Writer) {
		for _, change := range changes {
			fmt.Fprintln(w, change)
		}
	})
	if err == nil && len(changes) > 0 {
		return &exit{code: codeDiffers}
	}
	return err
}

// tree returns a value as JSON has it.
func tree(value any) (any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", value, err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("decode %T: %w", value, err)
	}
	return out, nil
}

func completeProfiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return profile.Names(), cobra.ShellCompDirectiveNoFileComp
}

func outputFlag(c *cobra.Command, format *printer.Format) {
	c.Flags().VarP(format, "output", "o", "how the result is written")
	_ = c.RegisterFlagCompletionFunc("output", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{string(printer.Table), string(printer.JSON), string(printer.YAML)}, cobra.ShellCompDirectiveNoFileComp
	})
}
