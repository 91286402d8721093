// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const trafficDoc = "../../docs/traffic-tests.md"

// names are the first groups of what matches in the files of a pattern.
func names(t *testing.T, glob, expression string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", glob, len(files), err)
	}
	out := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(string(text), -1) {
			out[m[1]] = true
		}
	}
	return out
}

// The table of what is tested names tests that exist, leaves no case out, and no
// feature without a test.
func TestTableOfTrafficNamesItsTests(t *testing.T) {
	exist := map[string]bool{}
	for name := range names(t, "traffic_test.go", `\{"(\w+)", test\w+\}`) {
		exist["Traffic/"+name] = true
	}
	cases := len(exist)
	for name := range names(t, "mesh_test.go", `\{"(\w+)", test\w+\}`) {
		exist[name] = true
	}
	for name := range names(t, "../live/*_test.go", `(?m)^func (Test\w+)\(`) {
		exist[name] = true
	}
	text, err := os.ReadFile(trafficDoc)
	if err != nil {
		t.Fatal(err)
	}
	seen, listed := map[string]bool{}, map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (B\d+) \|.*\| ([^|]+) \|$`).FindAllStringSubmatch(string(text), -1) {
		if listed[row[1]] {
			t.Errorf("%s has two rows", row[1])
		}
		listed[row[1]] = true
		for name := range strings.SplitSeq(row[2], ", ") {
			name = strings.Trim(name, "`")
			seen[name] = true
			if !exist[name] {
				t.Errorf("%s names %s, which does not exist", row[1], name)
			}
		}
	}
	for name := range exist {
		if strings.HasPrefix(name, "Traffic/") && !seen[name] {
			t.Errorf("no row names %s", name)
		}
	}
	if len(listed) < 35 || cases < 35 {
		t.Errorf("%d rows and %d cases were found: the table or the suite is not what this test reads", len(listed), cases)
	}
}
