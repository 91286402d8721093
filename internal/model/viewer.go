// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// viewer is who sees something in a way of their own: the proxies of a class of a
// namespace, those of the namespace that hold to a Sidecar, all of the namespace,
// or everybody else.
type viewer struct {
	namespace string
	sidecar   ir.ConfigKey
	class     string
}

// use is the Sidecar that makes somebody a viewer, as the namespace reads it; zero for
// viewers of other kinds.
func (v viewer) use() sidecarUse {
	if v.sidecar == (ir.ConfigKey{}) {
		return sidecarUse{}
	}
	return sidecarUse{v.namespace, v.sidecar}
}

// below is whose view a view hides.
func (m *Model) below(c *graph.Ctx, v viewer) viewer {
	all := m.lineage(c, v)
	return all[max(len(all)-2, 0)]
}

// lineage is the viewers whose views somebody sees, each hidden by the next.
func (m *Model) lineage(c *graph.Ctx, by viewer) []viewer {
	out := []viewer{{}}
	if by.namespace != "" {
		out = append(out, viewer{namespace: by.namespace})
	}
	use := by.use()
	if by.class != "" {
		use, _ = m.sidecarOf(c, by.class)
	}
	if use != (sidecarUse{}) && m.isLayered(c, use) {
		out = append(out, use.viewer())
	}
	if by.class != "" {
		out = append(out, by)
	}
	return out
}

func (v viewer) compare(o viewer) int {
	return cmp.Or(strings.Compare(v.namespace, o.namespace), v.sidecar.Compare(o.sidecar), strings.Compare(v.class, o.class))
}

// layer is where the viewer's view is.
func (v viewer) layer() ir.Layer {
	switch {
	case v.class != "":
		return ir.ClassLayer(v.class)
	case v.use() != sidecarUse{}:
		return v.use().layer()
	}
	return scopeLayer(v.namespace)
}

// seenHost is a host as somebody sees it.
type seenHost struct {
	Viewer viewer
	Host   string
}

func (k seenHost) Compare(o seenHost) int {
	return cmp.Or(k.Viewer.compare(o.Viewer), strings.Compare(k.Host, o.Host))
}

// viewOf is whose view of the policies for a host a viewer has: his own if there is
// one, else his namespace's, else everybody's.
func (m *Model) viewOf(c *graph.Ctx, v viewer, host string) viewer {
	for _, w := range []viewer{v, {namespace: v.namespace}} {
		if w == (viewer{}) {
			break
		}
		if _, own := graph.Get(c, m.choices, seenHost{w, host}); own {
			return w
		}
	}
	return viewer{}
}

// choiceFor is the choice as a viewer sees it.
func (m *Model) choiceFor(c *graph.Ctx, v viewer, host string) choice {
	out, _ := graph.Get(c, m.choices, seenHost{m.viewOf(c, v, host), host})
	return out
}

// isSidecar tells whether a viewer is a class of sidecars.
func (m *Model) isSidecar(c *graph.Ctx, v viewer) bool {
	class, ok := graph.Get(c, m.Classes.Table(), v.class)
	return ok && class.Role == ir.RoleSidecar
}

// viewerOf is who sees what is in a layer of sidecars; held is false when nobody is
// there to see it.
func (m *Model) viewerOf(c *graph.Ctx, l ir.Layer) (v viewer, held bool) {
	if key, ok := strings.CutPrefix(string(l), string(ir.ClassLayer(""))); ok {
		class, known := graph.Get(c, m.Classes.Table(), key)
		if !known {
			return viewer{}, false
		}
		return viewer{namespace: class.Namespace, class: key}, true
	}
	if namespace, ok := strings.CutPrefix(string(l), string(ir.NamespaceLayer(""))); ok {
		return viewer{namespace: namespace}, m.activeIn(c, namespace)
	}
	if namespace, sidecar, ok := ir.ParseSidecarLayer(l); ok {
		use := sidecarUse{namespace, sidecar}
		return use.viewer(), has(c, m.used, use)
	}
	return viewer{}, true
}
