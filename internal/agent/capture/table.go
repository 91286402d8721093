// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bufio"
	"io"
	"maps"
	"slices"
	"strings"
)

// table is what iptables-save printed of one table, as far as it concerns us.
type table struct {
	// chains holds the rules of the chains that we own; an absent key is an absent chain.
	chains map[string][]string
	// jumps holds every rule of another chain that leads into one of ours, in order, duplicates included.
	jumps []jump
}

// parse reads the output of iptables-save -t NAME. Lines that it does not know (comments, counters of other chains, rules of
// others) are skipped.
func parse(name string, r io.Reader) (table, error) {
	t := table{chains: map[string][]string{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	inside := false
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasPrefix(line, "*"):
			inside = line == "*"+name
		case !inside:
		case strings.HasPrefix(line, ":"):
			if chain, _, _ := strings.Cut(line[1:], " "); isOwn(chain) {
				t.chains[chain] = []string{}
			}
		case strings.HasPrefix(line, "-A "):
			chain, rule, _ := strings.Cut(line[len("-A "):], " ")
			if isOwn(chain) {
				t.chains[chain] = append(t.chains[chain], rule)
			} else if isOwn(target(rule)) {
				t.jumps = append(t.jumps, jump{chain: chain, rule: rule})
			}
		}
	}
	return t, lines.Err()
}

func isOwn(chain string) bool {
	return slices.Contains(ownChains, chain)
}

// target is the chain that a rule jumps or goes to.
func target(rule string) string {
	words := strings.Fields(rule)
	for i, word := range words {
		if (word == "-j" || word == "-g") && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// holds reports whether the table already is what rs wants: our chains equal, and our jumps there exactly once.
func (t table) holds(rs ruleset) bool {
	if !maps.EqualFunc(t.chains, rs.chains, slices.Equal) {
		return false
	}
	have := slices.Clone(t.jumps)
	want := slices.Clone(rs.jumps)
	slices.SortFunc(have, compareJumps)
	slices.SortFunc(want, compareJumps)
	return slices.Equal(have, want)
}

func compareJumps(a, b jump) int {
	return strings.Compare(a.chain+" "+a.rule, b.chain+" "+b.rule)
}

// transaction renders the iptables-restore --noflush input that turns the table into what rs wants. Naming a chain empties
// it, so the chains need no deletions; jumps live in chains of others and are deleted and added one by one.
func (t table) transaction(rs ruleset) string {
	var b strings.Builder
	b.WriteString("*" + rs.table + "\n")
	for _, chain := range ownChains {
		if t.has(chain) || rs.chains[chain] != nil {
			b.WriteString(":" + chain + " - [0:0]\n")
		}
	}
	kept := map[jump]bool{}
	for _, j := range t.jumps {
		if slices.Contains(rs.jumps, j) && !kept[j] {
			kept[j] = true
			continue
		}
		// Deletion takes the first equal rule, so of duplicates one stays, whichever it is.
		b.WriteString("-D " + j.chain + " " + j.rule + "\n")
	}
	for _, chain := range ownChains {
		for _, rule := range rs.chains[chain] {
			b.WriteString("-A " + chain + " " + rule + "\n")
		}
	}
	for _, j := range rs.jumps {
		if !kept[j] {
			b.WriteString("-A " + j.chain + " " + j.rule + "\n")
		}
	}
	for _, chain := range ownChains {
		if t.has(chain) && rs.chains[chain] == nil {
			b.WriteString("-X " + chain + "\n")
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

func (t table) has(chain string) bool {
	_, ok := t.chains[chain]
	return ok
}
