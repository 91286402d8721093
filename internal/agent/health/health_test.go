// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/meshwright/meshwright/internal/agent/probe"
)

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		name, results, want string // + success, - failure; what is told at each, or .
	}{
		{"healthy with the second success", "-+-++++", "....+.."},
		{"not healthy with the third failure", "++--+---+-", ".+.....-.."},
		{"never healthy", "-----", "..-.."},
	} {
		count := counter{successes: 2, failures: 3}
		got := ""
		for _, r := range c.results {
			switch {
			case !count.turns(r == '+'):
				got += "."
			default:
				got += string(r)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s of %s, want %s", c.name, got, c.results, c.want)
		}
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		calls := 0
		check := func(context.Context, probe.Probe) error {
			if calls++; calls > 6 {
				cancel()
			}
			if calls > 2 {
				return errors.New("refused")
			}
			return nil
		}
		Watch(ctx, Probe{InitialDelaySeconds: 5, PeriodSeconds: 2}, check, func(p string) { told = append(told, p) })
		if want := []string{"", "refused"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
