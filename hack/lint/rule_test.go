// SPDX-License-Identifier: Apache-2.0

// Package lint_test checks the configuration of the linter itself: an import
// table holds nothing if a package is not in it.
package lint_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

// rule is one list of depguard: https://golangci-lint.run/docs/linters/configuration/#depguard.
type rule struct {
	Mode  string   `json:"list-mode"`
	Files []string `json:"files"`
}

func rules(t *testing.T) map[string]rule {
	t.Helper()
	text, err := os.ReadFile(root + "/.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]rule `json:"rules"`
				} `json:"depguard"`
			} `json:"settings"`
		} `json:"linters"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	return config.Linters.Settings.Depguard.Rules
}

// holds tells whether a strict list has the file: one of its globs matches and
// none of those that begin with an exclamation mark.
func (r rule) holds(file string) bool {
	matched := false
	for _, glob := range r.Files {
		glob, excluded := strings.CutPrefix(glob, "!")
		if glob == "$test" || !pattern(glob).MatchString("/"+file) {
			continue
		}
		if excluded {
			return false
		}
		matched = true
	}
	return matched && r.Mode == "strict"
}

// pattern is a glob in which * stops at a slash and ** does not.
func pattern(glob string) *regexp.Regexp {
	text := regexp.QuoteMeta(glob)
	text = strings.ReplaceAll(text, `\*\*`, "\x00")
	text = strings.ReplaceAll(text, `\*`, `[^/]*`)
	return regexp.MustCompile("^" + strings.ReplaceAll(text, "\x00", ".*") + "$")
}

// packages is a file of each package of the product; what builds and tests it
// may import what it likes.
func packages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, top := range []string{"api", "charts", "cmd", "controllers", "internal", "samples"} {
		err := fs.WalkDir(os.DirFS(root), top, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
				out[path.Dir(name)] = name
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestEveryPackageHasAnImportRule(t *testing.T) {
	all := rules(t)
	used := map[string]bool{"tests": true}
	for dir, file := range packages(t) {
		found := false
		for name, r := range all {
			if r.holds(file) {
				found, used[name] = true, true
			}
		}
		if !found {
			t.Errorf("%s has no rule of depguard in .golangci.yml: say what it may import", dir)
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("rule %s of depguard in .golangci.yml is about no package", name)
		}
	}
}

func TestPackageWithoutRuleIsFound(t *testing.T) {
	for name, r := range rules(t) {
		if r.holds("internal/newcomer/newcomer.go") {
			t.Errorf("rule %s is about any package", name)
		}
	}
}
