// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode"
)

const (
	// maxRegex bounds the text of an expression, and maxProgram what it compiles to.
	// Proxies refuse programs of more than 32,768 instructions, and with one all
	// routes of its host; ours is an estimate, so it stays well below.
	maxRegex   = 1024
	maxProgram = 20_000
)

// checkRegex checks RE2 syntax, https://github.com/google/re2/wiki/Syntax, which
// both Go and Envoy use.
func checkRegex(s string) error {
	if s == "" {
		return errors.New("regular expression must not be empty")
	}
	if len(s) > maxRegex {
		return fmt.Errorf("regular expression is longer than %d characters", maxRegex)
	}
	if _, err := regexp.Compile(s); err != nil {
		return fmt.Errorf("%q is no RE2 regular expression: %w", s, err)
	}
	if n := programSize(s); n > maxProgram {
		return fmt.Errorf("%q is too large for proxies: it compiles to about %d instructions, at most %d are possible; repeat less", s, n, maxProgram)
	}
	return nil
}

// programSize estimates how many instructions Envoy's RE2, which works on bytes, makes
// of an expression that is right: one for each range of a class of characters.
func programSize(s string) int {
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return 0
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0
	}
	size := 0
	for i := range program.Inst {
		size += max(1, ranges(program.Inst[i].Rune))
	}
	return size
}

func ranges(runes []rune) int {
	n := 0
	for i := 0; i < len(runes); i += 2 {
		if runes[i] <= unicode.MaxLatin1 {
			n++
		}
	}
	return n
}
