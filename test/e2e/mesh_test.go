// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"slices"
	"testing"
)

type part struct {
	name string
	run  func(*testing.T)
}

// TestMesh runs the whole life of a mesh in this order: it is installed from
// nothing, serves, meets trouble, and is removed. Each part can be run alone
// (-run TestMesh/Retries): what it needs is set up if it is not there.
func TestMesh(t *testing.T) {
	parts := []part{
		{"InstallSurvivesKilledOperator", testInstallSurvivesKilledOperator},
		{"UnknownProfileStalls", testUnknownProfileStalls},
		{"UnknownVersionStalls", testUnknownVersionStalls},
		{"OperatorAtRest", testOperatorAtRest},
		{"DriftIsPutBack", testDriftIsPutBack},
		{"EveryObjectIsPutBack", testEveryObjectIsPutBack},
		{"EveryPodGetsAProxy", testEveryPodGetsAProxy},
		{"Meshctl", testMeshctl},
		{"Weights", testWeights},
		{"HeaderRoute", testHeaderRoute},
		{"Retries", testRetries},
		{"Timeout", testTimeout},
		{"TCP", testTCP},
		{"Traffic", testTraffic},
		{"StrictRefusesPlaintext", testStrict},
		{"PeerIdentity", testPeerIdentity},
		{"JobCompletes", testJobCompletes},
		{"CNI", testCNI},
		{"InvalidObjectsAreRefused", testInvalidObjectsAreRefused},
		{"InvalidObjectThatSlipsPastHarmsNothing", testSlipsPast},
		{"HTTPSGatewayWaitsForItsSecret", testGatewaySecret},
		{"ScaleUnderLoad", testScaleUnderLoad},
		{"RolloutUnderLoad", testRolloutUnderLoad},
		{"ControlPlaneRestartUnderLoad", testControlPlaneRestart},
		{"ControlPlaneAway", testControlPlaneAway},
		{"InPlaceUpgrade", testInPlaceUpgrade},
		{"CanaryUndone", testCanaryUndone},
		{"MeshctlSteersAnUpgrade", testMeshctlSteers},
		{"CanaryUpgrade", testCanaryUpgrade},
		{"MeshctlGoesBackAndPromotes", testMeshctlPromotes},
		{"RemovalLeavesNothing", testRemoval},
	}
	if _, name, err := localServer(); err == nil {
		// Only of a local cluster can the API server be taken away.
		t.Logf("the local cluster %s: its API server will be away for %s", name, outage)
		at := slices.IndexFunc(parts, func(p part) bool { return p.name == "InPlaceUpgrade" })
		parts = slices.Insert(parts, at, part{"APIServerAway", testAPIServerAway})
	}
	for _, p := range parts {
		t.Run(p.name, p.run)
	}
	if *keep {
		return
	}
	spaces := []string{appSpace, plainSpace, otherSpace}
	for tier := range fleetTiers {
		spaces = append(spaces, fleetSpace(tier))
	}
	for _, ns := range spaces {
		if err := cluster.DeleteNamespace(context.Background(), podLimit, ns); err != nil {
			t.Errorf("clean up: %v", err)
		}
	}
	if err := cluster.UninstallOperator(); err != nil {
		t.Errorf("clean up: %v", err)
	}
}
