// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/meshwright/meshwright/hack/fields/page"
)

// TestPageOfFieldsIsCurrent: what users read of a field is what becomes of it, and a
// field that is not served is reported.
func TestPageOfFieldsIsCurrent(t *testing.T) {
	old, err := os.ReadFile(root + "/" + page.Path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := page.Current(old)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, old) {
		t.Errorf("%s is not what the fields are now: go run ./hack/fields writes it", page.Path)
	}
}
