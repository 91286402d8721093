// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"fmt"
	"strings"
)

// known are Istio's profiles that have a counterpart, and what of them has none.
var known = map[string]struct{ ours, without string }{
	"default":   {ours: "default"},
	"demo":      {ours: "demo"},
	"minimal":   {ours: "minimal"},
	"empty":     {ours: "empty"},
	"openshift": {ours: "openshift"},
	"preview":   {ours: "preview"},
	"stable":    {ours: "default", without: "installed as default: what is served here does not depend on a profile"},
}

// unserved are Istio's profiles that need what is not installed here.
var unserved = map[string]string{
	"remote":   "has its control plane in another cluster",
	"external": "has its control plane in another cluster",
	"ambient":  "has no sidecars", "ambient-gke": "has no sidecars", "ambient-aws": "has no sidecars", "openshift-ambient": "has no sidecars",
}

// profile returns our name of the profile.
func (c *conversion) profile(root node) (string, error) {
	n, ok := root.at("profile")
	if !ok || n.value == "" {
		return "default", nil
	}
	name, _ := n.value.(string)
	if why, ok := unserved[name]; ok {
		return "", &ProfileError{Message: fmt.Sprintf("profile %s %s, which this operator does not install; use default, demo, minimal, empty, preview or openshift", name, why)}
	}
	p, ok := known[name]
	if !ok {
		hint := ""
		if strings.ContainsAny(name, "/.") {
			hint = " (it is no file of the operator's)"
		}
		return "", &ProfileError{Message: fmt.Sprintf("unknown profile %q%s; use default, demo, minimal, empty, preview or openshift", name, hint)}
	}
	n.use()
	if p.without != "" {
		c.unmapped = append(c.unmapped, Unmapped{Path: n.path, Reason: p.without})
	}
	return p.ours, nil
}
