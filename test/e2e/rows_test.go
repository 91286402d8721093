// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const trafficDoc = "../../docs/traffic-tests.md"

// unserved are features of traffic that the mesh does not serve.
var unserved = map[string]string{}

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
	if cases == 0 {
		t.Error("no cases were found: the suite is not what this test reads")
	}
	for _, r := range [][2]int{{1, 38}, {47, 50}, {52, 54}} {
		for n := r[0]; n <= r[1]; n++ {
			id := fmt.Sprintf("B%d", n)
			if _, not := unserved[id]; not == listed[id] {
				t.Errorf("%s: listed %v, known not to be served %v; want one of the two", id, listed[id], not)
			}
		}
	}
}
