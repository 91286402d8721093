// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// limit is a bound that a figure should keep.
type limit struct {
	text string
	kept bool
}

// figure is something measured, with the limit on it when there is one.
type figure struct {
	text  string
	limit *limit
}

func plain(format string, args ...any) figure { return figure{text: fmt.Sprintf(format, args...)} }

// atMost is a figure that should not be above a limit, both in the same unit.
func atMost(format string, value, most float64) figure {
	return figure{fmt.Sprintf(format, value), &limit{"≤ " + fmt.Sprintf(strings.NewReplacer("%.1f", "%g", "%.2f", "%g", "%.0f", "%g").Replace(format), most), value <= most}}
}

// row is one line of the table.
type row struct {
	work    string
	figures []figure
}

// print writes the row as a line of a Markdown table.
func (r row) print(w io.Writer) {
	var measured, targets []string
	missed := false
	for _, f := range r.figures {
		measured = append(measured, f.text)
		if f.limit != nil {
			targets = append(targets, f.limit.text)
			missed = missed || !f.limit.kept
		}
	}
	mark := ""
	if missed {
		mark = " (missed)"
	}
	fmt.Fprintf(w, "| %s | %s%s | %s |\n", r.work, strings.Join(targets, ", "), mark, strings.Join(measured, ", "))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// tail are the median and the 99th percentile, with limits in milliseconds; 0
// is none.
func tail(took []time.Duration, p50, p99 float64) []figure {
	slices.Sort(took)
	figures := make([]figure, 0, 2)
	for _, q := range []struct {
		format     string
		at, limits float64
	}{{"p50 %.1f ms", 0.5, p50}, {"p99 %.1f ms", 0.99, p99}} {
		value := milliseconds(quantile(took, q.at))
		if q.limits > 0 {
			figures = append(figures, atMost(q.format, value, q.limits))
		} else {
			figures = append(figures, plain(q.format, value))
		}
	}
	return figures
}
