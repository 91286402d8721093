// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshwright/meshwright/test/e2e/env"
)

func TestLocalClusterIsRecognised(t *testing.T) {
	t.Chdir(t.TempDir())
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		".cluster/west/kubeconfig":                    "west",
		filepath.Join(wd, ".cluster/east/kubeconfig"): "east",
		".cluster/kubeconfig":                         "",
		".cluster/a/b/kubeconfig":                     "",
		"/root/.kube/config":                          "",
		".cluster/../kubeconfig":                      "",
	} {
		if got, ok := localCluster(path); ok != (want != "") || ok && got != want {
			t.Errorf("localCluster(%q) = %q, %v; want %q", path, got, ok, want)
		}
	}
}

func TestKubeconfigChoosesTheCluster(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("KUBECONFIG", "")
	if d := newDemo("east", false); d.local != "east" || len(d.downSteps()) != 1 {
		t.Errorf("without KUBECONFIG: local cluster %q", d.local)
	}
	t.Setenv("KUBECONFIG", "/home/me/config")
	if d := newDemo("east", false); d.local != "" || d.kubeconfig != "/home/me/config" || len(d.downSteps()) != 2 {
		t.Errorf("with KUBECONFIG: local cluster %q, kubeconfig %q", d.local, d.kubeconfig)
	}
	with, without := newDemo("east", false), newDemo("east", true)
	if len(with.upSteps()) != len(without.upSteps())+1 {
		t.Error("--skip-push does not leave out the push")
	}
}

func TestRunStopsAtTheFirstFailureAndTellsTheRemedy(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	var out bytes.Buffer
	d := newDemo("east", false)
	d.out = newPrinter(&out)
	ran := 0
	steps := []step{
		{"one", time.Second, "", func(context.Context) error { ran++; return nil }},
		{"two", time.Second, "try this", func(context.Context) error { ran++; return errors.New("broken") }},
		{"three", time.Second, "", func(context.Context) error { ran++; return nil }},
	}
	err := d.run(t.Context(), steps)
	if err == nil || ran != 2 {
		t.Fatalf("%d steps ran, error %v", ran, err)
	}
	for _, want := range []string{"step 2 (two): broken", "try this", "make demo-down"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not tell %q", err, want)
		}
	}
	if text := out.String(); !strings.Contains(text, "[2/3] two") || strings.Contains(text, "[3/3]") {
		t.Errorf("printed %q", text)
	}
}

func TestCommandShowsItsOutputAndItsError(t *testing.T) {
	var out bytes.Buffer
	d := &demo{out: newPrinter(&out)}
	if err := d.command(t.Context(), "/bin/sh", "-c", "echo fine"); err != nil {
		t.Fatal(err)
	}
	err := d.command(t.Context(), "/bin/sh", "-c", "echo disk full >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error = %v, want the last line of the output", err)
	}
	if !strings.Contains(out.String(), "fine") {
		t.Errorf("printed %q", out.String())
	}
}

func TestManifestsAreThere(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	c := &env.Cluster{Registry: "registry.example/x", Tag: "v2"}
	objects, err := c.Parse(plainManifest)
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for _, f := range []string{
		"platform/bookinfo.yaml", "networking/destination-rule-all.yaml", "networking/virtual-service-all-v1.yaml",
		"networking/bookinfo-gateway.yaml", "networking/virtual-service-reviews-90-10.yaml", "networking/virtual-service-reviews-test-v2.yaml",
		"networking/peer-authentication-strict.yaml",
	} {
		text, err := os.ReadFile(samples + f)
		if err != nil {
			t.Fatal(err)
		}
		if objects, err := c.Parse(text); err != nil || len(objects) == 0 {
			t.Errorf("%s: %d objects, %v", f, len(objects), err)
		}
	}
}
