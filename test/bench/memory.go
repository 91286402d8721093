// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// live is how much the process has in use after a collection: heap and stacks,
// in bytes.
func (p *process) live(ctx context.Context) (int64, error) {
	// What weak pointers and cleanups held goes in the second collection.
	for range 2 {
		if _, err := p.memory(ctx); err != nil {
			return 0, err
		}
	}
	m, err := p.memory(ctx)
	return m["HeapAlloc"] + m["Stack"], err
}

// memory collects garbage and returns runtime.MemStats as the heap profile
// prints them.
func (p *process) memory(ctx context.Context) (map[string]int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.profiles+"/debug/pprof/heap?gc=1&debug=1", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("heap profile: %w", err)
	}
	defer response.Body.Close()
	out := map[string]int64{}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "# "), " = "); ok {
			value, _, _ = strings.Cut(value, " / ")
			out[name], _ = strconv.ParseInt(value, 10, 64) // What is no number is not asked for.
		}
	}
	if out["HeapAlloc"] == 0 {
		return nil, fmt.Errorf("no memory statistics in the heap profile of %s", p.profiles)
	}
	return out, lines.Err()
}

// peak reports the most memory that the process ever had.
func (r *run) peak(work string, most float64) error {
	u, err := r.process.usage()
	if err != nil {
		return err
	}
	r.row(work, atMost("%.0f MB", float64(u.max)/1e6, most))
	return nil
}

// further measures what more clients of known classes cost, transport
// included: half of the clients leave and come again.
func (r *run) further(ctx context.Context) error {
	all := r.fleet.clients
	stay := len(all) / 2
	if stay < workloads {
		return nil // Their classes would not be known.
	}
	for _, c := range all[stay:] {
		c.disconnect()
	}
	before, err := r.process.live(ctx)
	if err != nil {
		return err
	}
	for _, c := range all[stay:] {
		if err := c.connect(false); err != nil {
			return err
		}
	}
	if _, err := r.fleet.sync(ctx, r.town.services); err != nil {
		return err
	}
	after, err := r.process.live(ctx)
	if err != nil {
		return err
	}
	r.row("each further client of a known class, with its connection", atMost("%.0f KB", float64(after-before)/1e3/float64(len(all)-stay), 60))
	return nil
}
