// SPDX-License-Identifier: Apache-2.0

package meshconfig

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Config
		problem  string
	}{
		{"empty", "", Default(), ""},
		{
			"all", "trustDomain: example.org\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\naccessLogFile: /dev/stdout\n",
			Config{"example.org", OutboundTrafficPolicy{RegistryOnly}, "/dev/stdout"},
			"",
		},
		{"empty policy keeps the default", "outboundTrafficPolicy: {}\n", Default(), ""},
		{"trust domain", "trustDomain: a/b\n", Config{}, "trustDomain"},
		{"mode", "outboundTrafficPolicy: {mode: NO}\n", Config{}, "outboundTrafficPolicy.mode"},
		{"log file", "accessLogFile: /etc/passwd\n", Config{}, "accessLogFile"},
		{"unknown field", "enableTracing: true\n", Config{}, "enableTracing"},
		{"not YAML", "\t{", Config{}, "mesh configuration"},
		{"too large", strings.Repeat("#", maxBytes+1), Config{}, "larger"},
	} {
		got, err := Parse([]byte(c.in))
		if c.problem == "" && (err != nil || got != c.want) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
		if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestLoadWithoutFile(t *testing.T) {
	got, err := Load(filepath.Join(t.TempDir(), "none"))
	if err != nil || got != Default() {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mesh")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type event struct {
		config Config
		err    error
	}
	events := make(chan event, 8)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Watch(ctx, path, 5*time.Millisecond, func(c Config, err error) { events <- event{c, err} })
	}()
	write := func(text string) {
		t.Helper()
		// By rename, as the kubelet does: a reader never sees half a file.
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	next := func() event {
		t.Helper()
		select {
		case e := <-events:
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("no event")
			return event{}
		}
	}
	time.Sleep(50 * time.Millisecond)
	write("trustDomain: one.example\n")
	if e := next(); e.err != nil || e.config.TrustDomain != "one.example" {
		t.Errorf("got %+v", e)
	}
	write("trustDomain: [")
	if e := next(); e.err == nil {
		t.Errorf("got %+v", e)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if e := next(); e.err != nil || e.config != Default() {
		t.Errorf("got %+v", e)
	}
	cancel()
	<-ended
}
