// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	passwd = `root:x:0:0:root:/root:/sbin/nologin
meshwright-proxy:x:1337:1337:proxy:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin
`
	groups = `root:x:0:
meshwright-proxy:x:1337:
nonroot:x:65532:
`
	nsswitch = "hosts: files dns\n"

	certificates = "/etc/ssl/certs/ca-certificates.crt"
	filterBinary = "/usr/sbin/xtables-nft-multi"
)

// systemFiles is what every image has: users, name lookup order, a directory
// for temporary files and, where the building machine has them, the public
// certificate authorities.
func systemFiles() ([]file, error) {
	files := []file{
		{name: "/etc/passwd", mode: 0o644, content: []byte(passwd)},
		{name: "/etc/group", mode: 0o644, content: []byte(groups)},
		{name: "/etc/nsswitch.conf", mode: 0o644, content: []byte(nsswitch)},
		{name: "/tmp", mode: 0o1777, dir: true},
	}
	switch _, err := os.Stat(certificates); {
	case err == nil:
		files = append(files, file{name: certificates, mode: 0o644, source: certificates})
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("look for public certificates: %w", err)
	}
	return files, nil
}

// filterCommands are the names by which the agent calls the one nft binary.
var filterCommands = []string{
	"iptables", "iptables-restore", "iptables-save", "ip6tables", "ip6tables-restore", "ip6tables-save",
	"iptables-nft", "iptables-nft-restore", "iptables-nft-save", "ip6tables-nft", "ip6tables-nft-restore", "ip6tables-nft-save",
}

// packetFilterFiles are Debian's nft iptables tools with their match and
// target modules.
func packetFilterFiles() ([]file, error) {
	if _, err := os.Stat(filterBinary); err != nil {
		return nil, fmt.Errorf("the proxy image takes the iptables tools from the building machine (Debian: apt-get install iptables): %w", err)
	}
	files := []file{{name: filterBinary, mode: 0o755, source: filterBinary}}
	for _, c := range filterCommands {
		files = append(files, file{name: filepath.Dir(filterBinary) + "/" + c, mode: 0o777, link: filepath.Base(filterBinary)})
	}
	var modules []string
	for _, dir := range libraryDirs {
		found, err := filepath.Glob(filepath.Join(dir, "xtables", "*.so"))
		if err != nil {
			return nil, fmt.Errorf("list the iptables modules: %w", err)
		}
		if len(found) > 0 {
			modules = found
			break
		}
	}
	if len(modules) == 0 {
		return nil, fmt.Errorf("no iptables modules (xtables/*.so) in %s: reinstall the package iptables", strings.Join(libraryDirs, ", "))
	}
	for _, m := range modules {
		entry := file{name: m, mode: 0o644, source: m}
		if target, err := os.Readlink(m); err == nil {
			entry = file{name: m, mode: 0o777, link: target}
		}
		files = append(files, entry)
	}
	return files, nil
}

// binaries lists the copied files of a list.
func binaries(files []file) []string {
	var out []string
	for _, f := range files {
		if f.source != "" {
			out = append(out, f.source)
		}
	}
	return out
}

// libraryDirs is where shared libraries are looked for, in this order. The
// path in the image is the path on the building machine, because the dynamic
// loader that is copied along looks where its own system keeps them.
var libraryDirs = []string{"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib"}

// closure returns the shared libraries that the binaries load, and those that
// these load, with the dynamic loader. It reads the files only, so nothing of
// what is copied is run.
func closure(paths []string) ([]file, error) {
	var files []file
	seen := map[string]bool{}
	for queue := slices.Clone(paths); len(queue) > 0; queue = queue[1:] {
		needed, loader, err := dependencies(queue[0])
		if err != nil {
			return nil, err
		}
		if loader != "" && !seen[loader] {
			seen[loader], seen[filepath.Base(loader)] = true, true
			files = append(files, file{name: loader, mode: 0o755, source: loader})
		}
		for _, lib := range needed {
			if seen[lib] {
				continue
			}
			seen[lib] = true
			path, err := locate(lib)
			if err != nil {
				return nil, fmt.Errorf("%s needs %w", queue[0], err)
			}
			files = append(files, file{name: path, mode: 0o755, source: path})
			queue = append(queue, path)
		}
	}
	return files, nil
}

func locate(lib string) (string, error) {
	for _, dir := range libraryDirs {
		path := filepath.Join(dir, lib)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("the library %s, which is not in %s", lib, strings.Join(libraryDirs, ", "))
}

// dependencies reads the needed libraries and the loader of an ELF file.
func dependencies(path string) (needed []string, loader string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("read the ELF file %s: %w", path, err)
	}
	defer f.Close()
	if needed, err = f.ImportedLibraries(); err != nil {
		return nil, "", fmt.Errorf("read the libraries of %s: %w", path, err)
	}
	if section := f.Section(".interp"); section != nil {
		data, err := section.Data()
		if err != nil {
			return nil, "", fmt.Errorf("read the loader of %s: %w", path, err)
		}
		loader = strings.TrimRight(string(data), "\x00")
	}
	return needed, loader, nil
}
