// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// Side is what is known of the proxies of one control plane.
type Side struct {
	Revision string
	report.Proxies
	// Refused is what of their configuration proxies refuse, by resource.
	Refused map[string]report.Refusal
}

// Discovery says whether the proxies that were moved hold the configuration that the new control plane has for them. pods
// is how many there must be. What proxies of the control plane before refuse as well is not the upgrade's fault.
func Discovery(next, previous Side, pods int) upgrade.Verdict {
	switch refused := fresh(next, previous); {
	case next.Connected < pods:
		return missing("%d of %d proxies of %s are connected to it", next.Connected, pods, next.Revision)
	case refused != "":
		return missing("%d of %d proxies of %s refuse some of their configuration: %s", next.Rejecting, next.Connected, next.Revision, refused)
	case next.Lagging > 0:
		return missing("%d of %d proxies of %s have not answered to their configuration for 30 s", next.Lagging, next.Connected, next.Revision)
	}
	return upgrade.Verdict{Good: true}
}

func missing(format string, args ...any) upgrade.Verdict {
	return upgrade.Verdict{Missing: fmt.Sprintf(format, args...)}
}

// mostTold bounds how many resources are named.
const mostTold = 3

// fresh names what proxies of the new control plane alone refuse; "" when there is nothing of that.
func fresh(next, previous Side) string {
	if next.Rejecting == 0 {
		return "" // What was refused before concerns nobody who is there now.
	}
	var told []string
	for _, resource := range slices.Sorted(maps.Keys(next.Refused)) {
		if _, both := previous.Refused[resource]; both {
			continue
		}
		r := next.Refused[resource]
		line := resource + " of " + r.Object
		if r.Proxy != "" {
			line += " at proxy " + r.Proxy
		}
		told = append(told, line+": "+r.Message)
	}
	switch {
	case len(told) > mostTold:
		return strings.Join(told[:mostTold], "; ") + fmt.Sprintf("; and %d more", len(told)-mostTold)
	case len(told) == 0 && len(next.Refused) == 0 && previous.Rejecting == 0:
		return "the log of the control plane says which"
	}
	return strings.Join(told, "; ")
}
