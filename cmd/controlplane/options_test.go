// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/go-logr/logr"
)

func TestOptionsComplete(t *testing.T) {
	o := defaultOptions()
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	if o.name() != "meshwright" || o.serverName() != "meshwright.istio-system.svc" || !slices.Equal(o.gatewayNamespaces, []string{"istio-system"}) {
		t.Errorf("defaults give %q %q %v", o.name(), o.serverName(), o.gatewayNamespaces)
	}
	o.revision, o.gatewayNamespaces = "blue", []string{"b", "a", "b"}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	if o.name() != "meshwright-blue" || injectorConfiguration(o) != "meshwright-injector-blue" || !slices.Equal(o.gatewayNamespaces, []string{"a", "b"}) {
		t.Errorf("revision blue gives %q %q %v", o.name(), injectorConfiguration(o), o.gatewayNamespaces)
	}
}

func TestOptionsNameEveryWrongFlag(t *testing.T) {
	o := defaultOptions()
	o.namespace, o.revision, o.clusterDomain, o.clusterID, o.xdsAddress = "A", "a.b", "-", "", "15012"
	o.certificateTTL, o.logLevel, o.kubeQPS, o.profilingAddress = 1, "loud", 0, ":6060"
	err := o.complete()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, flag := range []string{"--namespace", "--revision", "--cluster-domain", "--cluster-id", "--xds-address", "--certificate-ttl", "--log-level", "--kube-api-qps", "--profiling-address"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not named in:\n%v", flag, err)
		}
	}
}

// TestFlagsAreDocumented compares the table in docs/controlplane.md with the flags, defaults included.
func TestFlagsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/controlplane.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| `--") {
			continue
		}
		cell := strings.Split(line, "|")
		for _, name := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(cell[1], -1) {
			documented[name[1]] = cell[2]
		}
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	defaultOptions().bind(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		cell, ok := documented[f.Name]
		delete(documented, f.Name)
		// Go prints 24h as 24h0m0s, and an empty list as [].
		value := strings.TrimSuffix(strings.TrimSuffix(f.DefValue, "0s"), "0m")
		if !ok || (value != "" && value != "[]" && !strings.Contains(cell, value)) {
			t.Errorf("--%s with default %q is documented as %q", f.Name, f.DefValue, cell)
		}
	})
	for name := range documented {
		t.Errorf("--%s is documented but does not exist", name)
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	call := func(context.Context) (err error) {
		defer recovered(logr.Discard(), "/x", &err)
		panic("boom s3cret")
	}
	if err := call(t.Context()); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}
