// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/host"
)

// packetRules names the packet rules of the host that mention the cluster's
// addresses or its interface. The cluster never sets one; this is the check.
func packetRules(claim address.Claim) ([]string, error) {
	program := host.Find("iptables-save")
	if program == "" {
		return nil, nil // nobody can have set a rule with it
	}
	text, err := exec.Command(program).Output()
	if err != nil {
		return nil, fmt.Errorf("list the host's packet rules: %w", err)
	}
	words := []string{" " + claim.Interface() + " ", claim.Node().String() + "/32"}
	for _, r := range claim.Ranges() {
		words = append(words, r.String())
	}
	var out []string
	for _, line := range strings.Split(string(text), "\n") {
		for _, w := range words {
			if strings.Contains(line+" ", w) {
				out = append(out, "packet rule "+line)
				break
			}
		}
	}
	return out, nil
}
