// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"net/http"
	"strings"
)

// Handler answers GET PathPrefix+KEY with the result of the probe of that key: 200, 503 with the reason when the probe
// failed, 404 for a key that is not in the set.
type Handler struct {
	set     Set
	checker *Checker
}

// NewHandler serves the probes of the set through the checker.
func NewHandler(set Set, checker *Checker) *Handler {
	return &Handler{set: set, checker: checker}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "probes are read with GET", http.StatusMethodNotAllowed)
		return
	}
	p, ok := h.set[strings.TrimPrefix(r.URL.Path, PathPrefix)]
	if !ok {
		http.Error(w, "no such probe", http.StatusNotFound)
		return
	}
	if err := h.checker.Check(r.Context(), p); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}
