// SPDX-License-Identifier: Apache-2.0

package xds

import "slices"

// awaits are the endpoints that clusters on their way still need: routes may
// name those clusters once they are there. A client that connects waits for
// thousands, and so do all others that connect with it, so the names belong to
// the response and a client only keeps which of them have come.
type awaits []await

// await is for what the clusters of one response wait.
type await struct {
	batch uint64
	// since is the number of the response that brought the clusters.
	since uint64
	// names are the endpoints, sorted; they are not changed.
	names []string
	// come has a bit for each name that is not waited for any more.
	come []uint64
	left int
}

// needs are the endpoints that the clusters of a response wait for, sorted.
func needs(items []item) (names []string) {
	for _, it := range items {
		if it.version == nil || it.version.res.EDS == "" {
			continue
		}
		if names == nil {
			names = make([]string, 0, len(items))
		}
		names = append(names, it.version.res.EDS)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// add waits for names, and no longer for what earlier clusters needed of them.
func (w *awaits) add(names []string, batch, since uint64) {
	if len(*w) > 0 {
		for _, text := range names {
			w.drop(text)
		}
	}
	*w = append(*w, await{batch: batch, since: since, names: names, left: len(names)})
}

// find returns where a name is waited for, and its place there.
func (w awaits) find(text string) (group, place int, ok bool) {
	for group := range w {
		a := &w[group]
		if place, ok := slices.BinarySearch(a.names, text); ok && !a.has(place) {
			return group, place, true
		}
	}
	return 0, 0, false
}

func (a *await) has(place int) bool {
	return len(a.come) > 0 && a.come[place/64]&(1<<(place%64)) != 0
}

// drop ends the wait for a name.
func (w *awaits) drop(text string) {
	group, place, ok := w.find(text)
	if !ok {
		return
	}
	a := &(*w)[group]
	if a.left--; a.left == 0 {
		w.keep(func(b *await) bool { return b.left > 0 })
		return
	}
	if a.come == nil {
		a.come = make([]uint64, (len(a.names)+63)/64)
	}
	a.come[place/64] |= 1 << (place % 64)
}

// keep ends all waits but those that ok picks.
func (w *awaits) keep(ok func(*await) bool) {
	*w = slices.DeleteFunc(*w, func(a await) bool { return !ok(&a) })
	if len(*w) == 0 {
		*w = nil
	}
}
