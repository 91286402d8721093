// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/meshwright/meshwright/internal/cni/conflist"
)

const listed = `{"name":"pods","plugins":[{"type":"bridge"}]}`

func newInstaller(t *testing.T, files map[string]string) *Installer {
	t.Helper()
	i := &Installer{
		Program: filepath.Join(t.TempDir(), "cni"), BinDir: t.TempDir(), ConfDir: t.TempDir(), Chained: true,
		Plugin: conflist.Plugin{Socket: "/run/s"}, Log: logr.Discard(),
	}
	if err := os.WriteFile(i.Program, []byte("the plugin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(i.ConfDir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func configure(t *testing.T, i *Installer) string {
	t.Helper()
	changed, err := i.Configure()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(changed)
}

func (i *Installer) content(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(i.ConfDir, name))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestConfigureAndRemove: the plugin is in the first list, once; the others stay
// as they are; a list that is written anew gets it again; and all goes.
func TestConfigureAndRemove(t *testing.T) {
	i := newInstaller(t, map[string]string{"05-broken.conflist": "{", "10-pods.conflist": listed, "20-others.conflist": listed, "notes.txt": listed})
	if got := configure(t, i); got != "10-pods.conflist" {
		t.Errorf("%s was changed", got)
	}
	if got := configure(t, i); got != "." {
		t.Errorf("%s was changed again", got)
	}
	if err := i.copyProgram(); err != nil {
		t.Fatal(err)
	}
	if err := i.Installed(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(i.ConfDir, "10-pods.conflist"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's rights are %v, %v", info.Mode(), err)
	}
	if i.content(t, "20-others.conflist") != listed || i.content(t, "notes.txt") != listed {
		t.Error("another file was changed")
	}
	if err := os.WriteFile(filepath.Join(i.ConfDir, "10-pods.conflist"), []byte(listed), 0o640); err != nil {
		t.Fatal(err)
	}
	if i.Installed() == nil {
		t.Error("the plugin is said to be in a list that was written anew")
	}
	if got := configure(t, i); got != "10-pods.conflist" {
		t.Errorf("%s was changed", got)
	}
	if err := i.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := i.content(t, "10-pods.conflist"); strings.Contains(got, conflist.Type) || !strings.Contains(got, "bridge") {
		t.Errorf("the list is %s", got)
	}
	if _, err := os.Stat(filepath.Join(i.BinDir, conflist.Type)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program is still there: %v", err)
	}
	if err := i.Remove(); err != nil {
		t.Errorf("removing twice: %v", err)
	}
}

// TestSinglePlugin: a file of one plugin is left as it is, and a list comes
// before it, until the file becomes a list.
func TestSinglePlugin(t *testing.T) {
	single := `{"cniVersion":"0.4.0","name":"pods","type":"bridge"}`
	i := newInstaller(t, map[string]string{"10-pods.conf": single})
	if got := configure(t, i); got != ownConfig {
		t.Errorf("%s was changed", got)
	}
	if i.content(t, "10-pods.conf") != single {
		t.Error("the file was changed")
	}
	if got := i.content(t, ownConfig); !strings.Contains(got, "bridge") || !strings.Contains(got, conflist.Type) {
		t.Errorf("the list is %s", got)
	}
	if err := os.Rename(filepath.Join(i.ConfDir, "10-pods.conf"), filepath.Join(i.ConfDir, "10-old")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(i.ConfDir, "10-pods.conflist"), []byte(listed), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := configure(t, i); got != "10-pods.conflist" || i.content(t, ownConfig) != "" {
		t.Errorf("%s was changed; ours is %q", got, i.content(t, ownConfig))
	}
}

// TestNoConfig: without a network of the cluster's own there is nothing to be in.
func TestNoConfig(t *testing.T) {
	i := newInstaller(t, nil)
	if _, err := i.Configure(); !errors.Is(err, ErrNoConfig) {
		t.Errorf("got %v", err)
	}
	i.Chained = false
	if got := configure(t, i); got != aloneConfig {
		t.Errorf("%s was changed", got)
	}
	if err := i.Remove(); err != nil || i.content(t, aloneConfig) != "" {
		t.Errorf("removing: %v", err)
	}
}
