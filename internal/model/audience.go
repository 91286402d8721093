// SPDX-License-Identifier: Apache-2.0

package model

import (
	"iter"
	"slices"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// everyRoute is all candidates, whatever their level.
func everyRoute(candidates [][]*ir.Routes) iter.Seq[*ir.Routes] {
	return func(yield func(*ir.Routes) bool) {
		for _, level := range candidates {
			for _, r := range level {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// places is the places of some of an object's matches.
type places func(*ir.Routes) iter.Seq[*ir.Place]

// requestPlaces is those of its rules for requests.
func requestPlaces(r *ir.Routes) iter.Seq[*ir.Place] {
	return func(yield func(*ir.Place) bool) {
		for i := range r.HTTP {
			for j := range r.HTTP[i].Matches {
				if !yield(&r.HTTP[i].Matches[j].Place) {
					return
				}
			}
		}
	}
}

// streamPlaces is those of its rules for bytes.
func streamPlaces(r *ir.Routes) iter.Seq[*ir.Place] {
	return func(yield func(*ir.Place) bool) {
		for _, rules := range [][]ir.StreamRule{r.TLS, r.TCP} {
			for i := range rules {
				for j := range rules[i].Matches {
					if !yield(&rules[i].Matches[j].Place) {
						return
					}
				}
			}
		}
	}
}

// audience is who sees routes in a way of their own: namespaces that routes are
// exported to, whose own they are among several, or for which they have matches, and
// classes whose labels some match asks for. Where no match asks for labels, no class
// is looked at.
func (m *Model) audience(c *graph.Ctx, candidates [][]*ir.Routes, of places) []viewer {
	var out []viewer
	for _, level := range candidates {
		for _, r := range level {
			if !r.ExportTo.All {
				out = append(out, namespaceViews(r.ExportTo.Namespaces)...)
			}
			if len(level) > 1 {
				out = append(out, viewer{namespace: r.Origin.Namespace})
			}
			for p := range of(r) {
				if p.Namespace != "" {
					out = append(out, viewer{namespace: p.Namespace})
				}
				if len(p.Labels) > 0 && p.InSidecars() {
					out = m.singleOut(c, out, p, r.ExportTo)
				}
			}
		}
	}
	return out
}

// singleOut adds the classes of sidecars that have the labels of a place.
func (m *Model) singleOut(c *graph.Ctx, out []viewer, p *ir.Place, exported ir.Visibility) []viewer {
	for key, class := range graph.Each(c, m.classesByLabel, p.Labels[0]) {
		if class.Labels.Contains(p.Labels) && (p.Namespace == "" || p.Namespace == class.Namespace) && exported.Sees(class.Namespace) {
			out = append(out, viewer{namespace: class.Namespace, class: key})
		}
	}
	return out
}

func namespaceViews(namespaces []string) []viewer {
	out := make([]viewer, len(namespaces))
	for i, ns := range namespaces {
		out[i] = viewer{namespace: ns}
	}
	return out
}

// active is those viewers that have sidecars, each once, everybody first and each
// namespace before its classes.
func (m *Model) active(c *graph.Ctx, viewers []viewer) []viewer {
	slices.SortFunc(viewers, viewer.compare)
	return slices.DeleteFunc(slices.Compact(viewers), func(v viewer) bool {
		return v.class != "" && !m.isSidecar(c, v) || v.namespace != "" && !m.activeIn(c, v.namespace)
	})
}

// labelsOf is the labels of a viewer's proxies; nil when it is several classes.
func (m *Model) labelsOf(c *graph.Ctx, v viewer) ir.Labels {
	if v.class == "" {
		return nil
	}
	class, ok := graph.Get(c, m.Classes.Table(), v.class)
	if !ok {
		return nil
	}
	return class.Labels
}
