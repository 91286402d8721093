// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"github.com/meshwright/meshwright/internal/cni/conflist"
)

// ownConfig is our file where there is no list to be in: beside a configuration
// of a single plugin, before which it comes, or where we are called by name.
const ownConfig = "00-" + conflist.Type + ".conflist"

// aloneConfig is the file of a plugin that is called by its name.
const aloneConfig = conflist.Type + ".conf"

// lookAgain is how soon a configuration that somebody wrote anew is put right.
const lookAgain = time.Second

// ErrNoConfig says that the cluster's own plugin is not installed yet.
var ErrNoConfig = errors.New("there is no CNI configuration of the cluster's own yet")

// Installer puts the plugin on the node.
type Installer struct {
	// Program is the file of the plugin.
	Program string
	// BinDir and ConfDir are the runtime's directories.
	BinDir, ConfDir string
	// Chained puts the plugin at the end of the cluster's list of plugins. Else it
	// has a configuration of its own, for who calls it by name.
	Chained bool
	Plugin  conflist.Plugin
	Log     logr.Logger
}

// Keep installs the plugin, and again whenever somebody undoes it, until the
// context ends.
func (i *Installer) Keep(ctx context.Context) error {
	if err := i.copyProgram(); err != nil {
		return err
	}
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	said := ""
	for {
		changed, err := i.Configure()
		switch {
		case err != nil && said != err.Error():
			i.Log.Info("the plugin is not in the node's CNI configuration", "error", err.Error())
			said = err.Error()
		case err == nil:
			said = ""
		}
		if changed != "" {
			i.Log.Info("wrote the plugin into the node's CNI configuration", "file", changed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Installed tells whether the runtime calls the plugin.
func (i *Installer) Installed() error {
	if _, err := os.Stat(filepath.Join(i.BinDir, conflist.Type)); err != nil {
		return err
	}
	path, content, err := i.wanted()
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, content) {
		return fmt.Errorf("the plugin is not in %s", path)
	}
	return nil
}

// Configure writes the plugin into the configuration, and returns the file that
// it changed.
func (i *Installer) Configure() (string, error) {
	path, content, err := i.wanted()
	if err != nil {
		return "", err
	}
	if own := filepath.Join(i.ConfDir, ownConfig); path != own {
		// What stood for a single plugin hides the list that came after it.
		if err := os.Remove(own); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, content) {
		return "", nil
	}
	return path, replace(path, content, 0o600)
}

// wanted is the file with the plugin in it, and what is to be in it.
func (i *Installer) wanted() (string, []byte, error) {
	if !i.Chained {
		content, err := conflist.Alone(i.Plugin)
		return filepath.Join(i.ConfDir, aloneConfig), content, err
	}
	path, content, err := i.primary()
	if err != nil {
		return "", nil, err
	}
	out, err := conflist.Insert(content, i.Plugin)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	if filepath.Ext(path) != ".conflist" {
		path = filepath.Join(i.ConfDir, ownConfig)
	}
	return path, out, nil
}

// primary is the configuration that runtimes take: the first by name that is one.
func (i *Installer) primary() (path string, content []byte, err error) {
	entries, err := os.ReadDir(i.ConfDir) // sorted by name
	if err != nil {
		return "", nil, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if name == ownConfig || !slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(name)) {
			continue
		}
		path := filepath.Join(i.ConfDir, name)
		content, err := os.ReadFile(path)
		if err != nil || !conflist.Usable(content) {
			continue
		}
		return path, content, nil
	}
	return "", nil, ErrNoConfig
}

// Remove takes the plugin out of every configuration, and then its program.
func (i *Installer) Remove() error {
	entries, err := os.ReadDir(i.ConfDir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		path := filepath.Join(i.ConfDir, entry.Name())
		switch {
		case entry.Name() == ownConfig || entry.Name() == aloneConfig:
			errs = append(errs, os.Remove(path))
		case filepath.Ext(path) == ".conflist":
			content, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if out, found, err := conflist.Remove(content); err == nil && found {
				errs = append(errs, replace(path, out, 0o600))
			}
		}
	}
	// A configuration that names a program which is not there lets no pod start.
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(i.BinDir, conflist.Type)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (i *Installer) copyProgram() error {
	content, err := os.ReadFile(i.Program)
	if err != nil {
		return err
	}
	to := filepath.Join(i.BinDir, conflist.Type)
	if have, err := os.ReadFile(to); err == nil && bytes.Equal(have, content) {
		return nil
	}
	return replace(to, content, 0o755)
}

// replace writes a file beside its place and moves it there, so that who reads
// sees the old one or the new one. A file that is there keeps its rights.
func replace(path string, content []byte, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	// Runtimes take no file whose name ends so.
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+conflist.Type+"-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(temporary.Name(), path)
}
