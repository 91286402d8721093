// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// steps are flags of meshctl for an upgrade in steps of so many percent, which soak for so long.
func steps(of ...[2]int) []string {
	set := []string{"upgradeStrategy.progressDeadlineSeconds=120", "upgradeStrategy.canary.maxUnavailable=5", "upgradeStrategy.canary.gracePeriodSeconds=5"}
	for i, s := range of {
		set = append(set, fmt.Sprintf("upgradeStrategy.canary.steps[%d].percent=%d", i, s[0]), fmt.Sprintf("upgradeStrategy.canary.steps[%d].soakSeconds=%d", i, s[1]))
	}
	return []string{"--strategy", "Canary", "--set", strings.Join(set, ",")}
}

// steered looks at the upgrade under way until it is as wanted.
func steered(t *testing.T, what string, wanted func(*v1alpha1.UpgradeStatus) bool) *v1alpha1.UpgradeStatus {
	t.Helper()
	m, err := eventually(t.Context(), what, func(m *v1alpha1.MeshOperator) bool { return m.Status.Upgrade != nil && wanted(m.Status.Upgrade) })
	must(t, err)
	return m.Status.Upgrade
}

// A person begins an upgrade, holds it, lets it go on, gives it up, and takes the spec back, all with meshctl.
func testMeshctlSteers(t *testing.T) {
	fleet(t)
	before, err := proxies(t.Context())
	must(t, err)
	meshctl(t, 0, "upgrade", "-y", "--strategy", "InPlace") // Takes away the steps of other tests.
	// The last step would soak for an hour: whatever ends here ends by a command.
	meshctl(t, 0, append([]string{"upgrade", "-y", "--wait=false", "--tag", cluster.Tag + nextSuffix}, steps([2]int{10, 10}, [2]int{20, 3600})...)...)
	steered(t, "the first step", func(u *v1alpha1.UpgradeStatus) bool { return u.Step == 1 })
	meshctl(t, 0, "pause", "-y")
	held := steered(t, "the upgrade held", func(u *v1alpha1.UpgradeStatus) bool {
		return u.Step == 1 && u.Moved > 0 && strings.Contains(u.Message, "paused by spec.upgradeStrategy.paused")
	})
	t.Logf("held: %d of %d moved: %s", held.Moved, held.Total, held.Message)
	meshctl(t, 0, "resume", "-y", "--wait=false")
	more := steered(t, "the second step", func(u *v1alpha1.UpgradeStatus) bool { return u.Step == 2 && u.Phase == v1alpha1.UpgradeSoaking })
	if more.Moved <= held.Moved {
		t.Errorf("%d workloads are moved after the second step, %d were after the first", more.Moved, held.Moved)
	}
	status := meshctl(t, 1, "status")
	if !strings.Contains(status, "Soaking: ") {
		t.Errorf("the status does not tell of the upgrade:\n%s", status)
	}
	start := time.Now()
	meshctl(t, 0, "abort", "-y")
	given := steered(t, "the upgrade given up", func(u *v1alpha1.UpgradeStatus) bool { return u.Phase == v1alpha1.UpgradeFailed })
	t.Logf("given up after %.0f s: %s", time.Since(start).Seconds(), given.Message)
	after, err := proxies(t.Context())
	must(t, err)
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("proxies of the fleet: %v, want %v", after, before)
	}
	if status := meshctl(t, 1, "status"); !strings.Contains(status, v1alpha1.ReasonUpgradeAborted) {
		t.Errorf("the status does not tell that the upgrade was given up:\n%s", status)
	}
	meshctl(t, 0, "rollback", "-y", "--timeout", upgradeLimit.String())
	_, err = eventually(t.Context(), "the mesh as it was", func(m *v1alpha1.MeshOperator) bool {
		return isReady(m) && m.Status.Upgrade == nil && len(m.Status.Revisions) == 1 && m.Spec.Image.Tag == cluster.Tag
	})
	must(t, err)
}

// After an upgrade a person goes back to what was before, in steps, and does not wait for the last of them.
func testMeshctlPromotes(t *testing.T) {
	fleet(t)
	m, err := mesh(t.Context())
	must(t, err)
	if len(m.Status.History) < 2 || m.Status.History[0].Identity.Tag != cluster.Tag+nextSuffix {
		// Run alone: there has to be something to go back to.
		meshctl(t, 0, "upgrade", "-y", "--timeout", upgradeLimit.String(), "--strategy", "InPlace", "--tag", cluster.Tag+nextSuffix)
	}
	meshctl(t, 0, append([]string{"upgrade", "-y"}, steps([2]int{10, 3600})...)...)
	start := time.Now()
	meshctl(t, 0, "rollback", "-y", "--wait=false")
	first := steered(t, "the first step", func(u *v1alpha1.UpgradeStatus) bool { return u.Step == 1 && u.Phase == v1alpha1.UpgradeSoaking })
	meshctl(t, 0, "promote", "-y", "--timeout", upgradeLimit.String())
	t.Logf("%d of %d moved by the first step; promoted, and all moved after %.0f s", first.Moved, first.Total, time.Since(start).Seconds())
	got, err := proxies(t.Context())
	must(t, err)
	if len(got) != 1 || got[cluster.Registry+"/proxy:"+cluster.Tag] != fleetSize {
		t.Errorf("proxies of the fleet: %v", got)
	}
}
