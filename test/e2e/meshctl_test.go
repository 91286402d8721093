// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/cli"
)

// meshctl runs a command of meshctl and wants its code.
func meshctl(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	streams := cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}
	if got := cli.Run(t.Context(), append([]string{"--kubeconfig", os.Getenv("KUBECONFIG")}, args...), streams); got != code {
		t.Fatalf("meshctl %s: code %d, want %d\n%s\n%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String()
}

// read reads what a command printed as JSON.
func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// What meshctl says of a mesh that is installed and well.
func testMeshctl(t *testing.T) {
	installed(t)
	var checked struct {
		Checks   []string
		Findings []struct{ Level, Object, Problem string }
	}
	read(t, meshctl(t, 0, "precheck", "--profile", "demo", "-o", "json"), &checked)
	for _, f := range checked.Findings {
		t.Logf("%s %s: %s", f.Level, f.Object, f.Problem)
		if f.Level == "error" {
			t.Errorf("a cluster with a mesh that serves has the error %s: %s", f.Object, f.Problem)
		}
	}
	var status struct {
		Problems []string
		Meshes   []struct {
			Name, Ready string
			Gateways    []struct {
				Name  string
				Ready bool
			}
		}
	}
	read(t, meshctl(t, 0, "status", "-o", "json"), &status)
	if len(status.Meshes) != 1 || status.Meshes[0].Ready != "True" || len(status.Meshes[0].Gateways) != 2 {
		t.Errorf("the status is %+v", status)
	}
	var version struct {
		Client        string
		Operators     []struct{ Version, InstalledBy string }
		ControlPlanes []struct {
			Revision string
			Ready    int
			Told     struct {
				Replicas, Connected, Rejecting int
				Versions, Troubles             []string
			}
		}
		Proxies []struct {
			Kind string
			Pods int
		}
	}
	read(t, meshctl(t, 0, "version", "-o", "json"), &version)
	if len(version.Operators) != 1 || version.Operators[0].Version != version.Client || version.Operators[0].InstalledBy != "Helm" {
		t.Errorf("the operators are %+v, and meshctl is %s", version.Operators, version.Client)
	}
	if len(version.ControlPlanes) != 1 || version.ControlPlanes[0].Ready < 1 {
		t.Errorf("the control planes are %+v", version.ControlPlanes)
	}
	gateways := 0
	for _, p := range version.Proxies {
		if p.Kind == "gateway" {
			gateways += p.Pods
		}
	}
	if gateways < 2 {
		t.Errorf("%d gateway pods are counted in %+v", gateways, version.Proxies)
	}
	if len(version.ControlPlanes) == 1 {
		told := version.ControlPlanes[0].Told
		if told.Replicas != version.ControlPlanes[0].Ready || len(told.Versions) != 1 || told.Connected < gateways || told.Rejecting != 0 || len(told.Troubles) > 0 {
			t.Errorf("the control plane tells %+v", told)
		}
	}
	t.Logf("\n%s\n%s", meshctl(t, 0, "version"), meshctl(t, 0, "status"))
	// What is in the cluster is what the operator renders.
	meshctl(t, 0, "manifest", "diff", "--live")
}
