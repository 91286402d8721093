// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func dryRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := iptablesCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"--dry-run", "--ipv6=off"}, args...))
	err := cmd.Execute()
	return out.String(), err
}

func TestIptablesFlags(t *testing.T) {
	out, err := dryRun(t, "--exclude-inbound-ports=9000", "--exclude-outbound-ports=3306", "--include-outbound-cidrs=10.0.0.0/8",
		"--inbound-ports=80", "--inbound-capture-port=16006", "--outbound-capture-port=16001", "--proxy-uid=2000")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"--dport 9000 -j RETURN", "--dport 15020 -j RETURN", "--dport 15021 -j RETURN", "--dport 3306 -j RETURN",
		"-d 10.0.0.0/8 -j MESHWRIGHT_REDIRECT", "--dport 80 -j MESHWRIGHT_IN_REDIRECT", "--to-ports 16006", "--to-ports 16001", "--uid-owner 2000",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the rules lack %q:\n%s", want, out)
		}
	}
	// Empty lists are what an injector passes for annotations that are not set.
	if _, err := dryRun(t, "--exclude-inbound-ports=", "--exclude-outbound-ports=", "--exclude-outbound-cidrs="); err != nil {
		t.Errorf("empty lists: %v", err)
	}
}

func TestIptablesErrorsNameTheFlag(t *testing.T) {
	for _, arg := range []string{
		"--inbound-ports=x", "--exclude-inbound-ports=*", "--exclude-outbound-ports=*", "--include-outbound-ports=70000",
		"--include-outbound-cidrs=10.0.0.0/99", "--exclude-outbound-cidrs=*", "--ipv6=maybe",
	} {
		flag, _, _ := strings.Cut(arg, "=")
		if _, err := dryRun(t, arg); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: got %v, want an error that names the flag", arg, err)
		}
	}
}

func TestProxyNamesWhatIsMissing(t *testing.T) {
	for _, name := range []string{"POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT", "POD_IP", "POD_IPS"} {
		t.Setenv(name, "")
	}
	run := func(args ...string) error {
		cmd := proxyCommand()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(append([]string{"--pod-info-dir=" + t.TempDir()}, args...))
		return cmd.Execute()
	}
	expect := func(want string, args ...string) {
		t.Helper()
		if err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	expect("--role", "--role=gateway")
	expect("--agent-log-level", "--agent-log-level=loud")
	expect("POD_NAME")
	t.Setenv("POD_NAME", "a")
	t.Setenv("POD_NAMESPACE", "b")
	t.Setenv("SERVICE_ACCOUNT", "c")
	expect("POD_IP")
	t.Setenv("POD_IP", "nowhere")
	expect("nowhere")
	t.Setenv("POD_IP", "127.0.0.1")
	t.Setenv("APP_PROBES", "{")
	expect("APP_PROBES")
	t.Setenv("APP_PROBES", "")
	t.Setenv("APP_METRICS", "{")
	expect("APP_METRICS")
	t.Setenv("APP_METRICS", "")
	expect("--log-level", "--log-level=loud")
}

// TestFlagsAreDocumented compares the flags with docs/agent.md, both ways.
func TestFlagsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "agent.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, match := range regexp.MustCompile("`--([a-z0-9-]+)`").FindAllStringSubmatch(string(text), -1) {
		documented[match[1]] = true
	}
	known := map[string]bool{}
	for _, cmd := range []*cobra.Command{iptablesCommand(), proxyCommand(), machineCommand()} {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			known[f.Name] = true
			if !documented[f.Name] {
				t.Errorf("docs/agent.md does not mention --%s of %s", f.Name, cmd.Name())
			}
		})
	}
	for name := range documented {
		if !known[name] && name != "noflush" {
			t.Errorf("docs/agent.md mentions --%s, which does not exist", name)
		}
	}
}
