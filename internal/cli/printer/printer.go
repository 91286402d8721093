// SPDX-License-Identifier: Apache-2.0

// Package printer writes what a command found: as a table for people, as JSON
// or YAML for programs.
package printer

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

// Format is how a result is written. It is a pflag.Value.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// String returns the format's name.
func (f *Format) String() string { return string(*f) }

// Type names the values in a command's help.
func (*Format) Type() string { return "table|json|yaml" }

// Set takes a format's name.
func (f *Format) Set(text string) error {
	switch Format(text) {
	case Table, JSON, YAML:
		*f = Format(text)
		return nil
	}
	return fmt.Errorf("unknown format %q; there are table, json and yaml", text)
}

// Print writes value as JSON or YAML, or what table writes.
func Print(w io.Writer, f Format, value any, table func(io.Writer)) error {
	switch f {
	case JSON:
		data, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		_, err = fmt.Fprintf(w, "%s\n", data)
		return err
	case YAML:
		data, err := yaml.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		_, err = w.Write(data)
		return err
	case Table:
	}
	table(w)
	return nil
}

// Columns writes rows under a header in aligned columns. An empty cell is a
// dash, so that columns can be told apart by programs, too.
func Columns(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	defer t.Flush()
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			// A cell is one line: a tab or a line's end would move all behind it.
			cells[i] = strings.Join(strings.Fields(cell), " ")
			if cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
}
