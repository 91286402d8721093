// SPDX-License-Identifier: Apache-2.0

// Command fields writes what becomes of each field of each kind into docs/traffic.md.
// The tables of internal/projection are what it reads.
package main

import (
	"fmt"
	"os"

	"github.com/meshwright/meshwright/hack/fields/page"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fields:", err)
		os.Exit(1)
	}
}

func run() error {
	old, err := os.ReadFile(page.Path)
	if err != nil {
		return fmt.Errorf("read the page (run from the root of the module): %w", err)
	}
	text, err := page.Current(old)
	if err != nil {
		return err
	}
	return os.WriteFile(page.Path, text, 0o644)
}
