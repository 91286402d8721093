// SPDX-License-Identifier: Apache-2.0

// Package host checks and prepares the machine that the local test cluster
// runs on: platform, rights, programs, disk space and ports. Each failure is
// one line that names the remedy.
package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// CheckPlatform refuses platforms that the cluster's parts do not run on.
func CheckPlatform() error { return checkPlatform(runtime.GOOS, runtime.GOARCH) }

func checkPlatform(goos, goarch string) error {
	if goos != "linux" || goarch != "amd64" {
		return fmt.Errorf("the local cluster runs on linux/amd64 only, and this is %s/%s: use a cluster of your own and set KUBECONFIG", goos, goarch)
	}
	return nil
}

// CheckRoot refuses to go on without the rights to make namespaces.
func CheckRoot() error { return checkRoot(os.Geteuid()) }

func checkRoot(uid int) error {
	if uid != 0 {
		return fmt.Errorf("a local cluster needs root (network namespaces, mounts, iptables) and this is user %d: run it with sudo, use `up NAME --bare` for an API server alone, or set KUBECONFIG to a cluster of your own", uid)
	}
	return nil
}

// CheckSpace refuses to go on when the disk that holds dir has less than need
// bytes free for this user.
func CheckSpace(dir string, need uint64) error {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look up the free space of %s: %w", dir, err)
	}
	return checkSpace(dir, fs.Bavail*uint64(fs.Bsize), need)
}

func checkSpace(dir string, free, need uint64) error {
	if free < need {
		return fmt.Errorf("the disk that holds %s has %d MiB free and %d MiB are needed: free some space or choose another disk", dir, free>>20, need>>20)
	}
	return nil
}

// CheckPort refuses an address that somebody listens on already.
func CheckPort(address string) error {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("the port of %s is taken: stop what listens there (`ss -ltnp` names it) or choose another port", address)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}

// A Tool is a program (or CNI plugin) that must be installed.
type Tool struct {
	// Name is the program's file name.
	Name string
	// Package is the Debian package that has it.
	Package string
	// Plugin is true for a CNI plugin, which is not in PATH.
	Plugin bool
}

// Tools are the programs that a cluster needs beside those that are built.
var Tools = []Tool{
	{Name: "containerd", Package: "containerd"},
	{Name: "ctr", Package: "containerd"},
	{Name: "containerd-shim-runc-v2", Package: "containerd"},
	{Name: "runc", Package: "runc"},
	{Name: "iptables", Package: "iptables"},
	{Name: "iptables-restore", Package: "iptables"},
	{Name: "nsenter", Package: "util-linux"},
	{Name: "unshare", Package: "util-linux"},
	{Name: "mount", Package: "mount"},
	{Name: "ptp", Package: "containernetworking-plugins", Plugin: true},
	{Name: "host-local", Package: "containernetworking-plugins", Plugin: true},
	{Name: "portmap", Package: "containernetworking-plugins", Plugin: true},
	{Name: "loopback", Package: "containernetworking-plugins", Plugin: true},
}

// pluginDirs are where distributions put CNI plugins.
var pluginDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// systemDirs are searched besides PATH: an ordinary user's PATH, which sudo
// may keep, lacks the sbin directories.
var systemDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// PluginDir is the directory that has the CNI plugins, empty when none has.
func PluginDir() string {
	for _, dir := range pluginDirs {
		if executable(filepath.Join(dir, "ptp")) {
			return dir
		}
	}
	return ""
}

// Find is the path of a program, empty when it is not installed.
func Find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range systemDirs {
		if path := filepath.Join(dir, name); executable(path) {
			return path
		}
	}
	return ""
}

// SearchPath is the PATH that the cluster's programs run with.
func SearchPath() string {
	return strings.Join(systemDirs, ":")
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func present(t Tool) bool {
	if !t.Plugin {
		return Find(t.Name) != ""
	}
	dir := PluginDir()
	return dir != "" && executable(filepath.Join(dir, t.Name))
}

// Missing lists the tools that are not installed.
func Missing() []Tool {
	var out []Tool
	for _, t := range Tools {
		if !present(t) {
			out = append(out, t)
		}
	}
	return out
}

// Install installs the packages of the missing tools with apt-get, when this
// is Debian (or made from it) and the user is root; elsewhere it returns the
// line that names them. say is called before a step that takes time.
func Install(ctx context.Context, say func(string)) error {
	return install(ctx, Missing(), Missing, say)
}

// Require does the same for some of the tools only.
func Require(ctx context.Context, say func(string), names ...string) error {
	missing := func() []Tool {
		return slices.DeleteFunc(Missing(), func(t Tool) bool { return !slices.Contains(names, t.Name) })
	}
	return install(ctx, missing(), missing, say)
}

func install(ctx context.Context, missing []Tool, still func() []Tool, say func(string)) error {
	if len(missing) == 0 {
		return nil
	}
	apt := Find("apt-get")
	if apt == "" || os.Geteuid() != 0 {
		return missingError(missing, apt != "")
	}
	// apt-get waits for another installation only at some of its locks.
	unlock, err := Lock(ctx, filepath.Join(os.TempDir(), "meshwright-apt.lock"), func() {
		say("another run is installing Debian packages; waiting for it")
	})
	if err != nil {
		return err
	}
	defer unlock()
	if missing = still(); len(missing) == 0 {
		return nil
	}
	packages := packagesOf(missing)
	say("installing Debian packages: " + strings.Join(packages, " "))
	command := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	// The package lists may be absent or old on a fresh machine: try once as
	// it is, then with fresh lists.
	if err := aptGet(ctx, apt, command); err != nil {
		if err := aptGet(ctx, apt, []string{"update"}); err != nil {
			return err
		}
		if err := aptGet(ctx, apt, command); err != nil {
			return err
		}
	}
	if missing = still(); len(missing) > 0 {
		return missingError(missing, true)
	}
	return nil
}

func aptGet(ctx context.Context, apt string, args []string) error {
	args = append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)
	cmd := exec.CommandContext(ctx, apt, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, lines[len(lines)-1])
	}
	return nil
}

func packagesOf(tools []Tool) []string {
	var out []string
	for _, t := range tools {
		if !slices.Contains(out, t.Package) {
			out = append(out, t.Package)
		}
	}
	return out
}

// missingError names what is missing and how to get it.
func missingError(missing []Tool, debian bool) error {
	var names []string
	for _, t := range missing {
		names = append(names, t.Name)
	}
	packages := strings.Join(packagesOf(missing), " ")
	if debian {
		return fmt.Errorf("missing programs: %s: run `apt-get install %s` as root", strings.Join(names, ", "), packages)
	}
	return fmt.Errorf("missing programs: %s: install your distribution's packages for them (on Debian: %s)", strings.Join(names, ", "), packages)
}
