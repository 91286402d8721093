// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxClaimDepth is how deep claims may be inside others.
const maxClaimDepth = 16

// claim reads the name of a claim that a match looks at.
func (v *virtualService) claim(at path, name string) string {
	names, err := claimPath(name)
	switch {
	case err != nil:
		v.notes.invalid(at, "%v", err)
		return name
	case v.meshOnly:
		v.notes.invalid(at, "requests have claims at gateways only; list gateways of this object, or remove the match")
	case v.inMesh:
		v.notes.warn(ReasonUnreachable, at, "requests have claims at gateways only; in sidecars there are none")
	}
	return ir.ClaimName(names...)
}

// claimPath reads PREFIX.OUTER.INNER and, for names with dots, PREFIX[OUTER][INNER]. See
// https://istio.io/latest/docs/reference/config/security/jwt/.
func claimPath(name string) ([]string, error) {
	var out []string
	rest := ""
	if len(name) > len(ir.ClaimPrefix) && strings.EqualFold(name[:len(ir.ClaimPrefix)], ir.ClaimPrefix) {
		rest = name[len(ir.ClaimPrefix):]
	}
	inner, closed := strings.CutSuffix(rest, "]")
	switch {
	case strings.HasPrefix(rest, "."):
		out = strings.Split(rest[1:], ".")
	case strings.HasPrefix(rest, "[") && closed:
		out = strings.Split(inner[1:], "][")
	default:
		return nil, fmt.Errorf("%q is no claim; write %s.NAME, or %s[NAME][INNER] for names with dots", name, ir.ClaimPrefix, ir.ClaimPrefix)
	}
	switch {
	case len(out) > maxClaimDepth:
		return nil, fmt.Errorf("is %d claims deep; at most %d are possible", len(out), maxClaimDepth)
	case slices.ContainsFunc(out, func(s string) bool { return !isText(s) || strings.ContainsAny(s, "[]") }):
		return nil, fmt.Errorf("each claim must have a name of at most %d printable characters without brackets", maxTokenText)
	}
	return out, nil
}
