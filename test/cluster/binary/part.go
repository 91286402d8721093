// SPDX-License-Identifier: Apache-2.0

// Package binary provides the programs of the local test cluster: it builds
// Kubernetes, etcd, CoreDNS and the pause program from pinned Go modules, and
// keeps them in a cache directory keyed by version. So it does with what tests
// run beside a cluster: a controller of Flux, and the logic of Argo CD.
package binary

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// Part is one group of programs that is built together and lives in one
// directory of the cache.
type Part struct {
	// Name is the part's name: kubernetes, etcd, coredns, pause, flux or argocd.
	Name string
	// Version is the version as it stands in the directory's name.
	Version string
	// Programs are the files that the part provides.
	Programs []string

	// dir is the directory below test/cluster that holds the sources or the
	// pinning module.
	dir string
	// packages are the Go packages to build, in the order of Programs.
	packages []string
	// ldflags are given to the linker besides -s -w.
	ldflags string
}

// kubernetesPrograms are the node's and the control plane's programs.
var kubernetesPrograms = []string{
	"kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet",
}

// fluxController is the package of the one controller of Flux that tests run.
const fluxController = "github.com/fluxcd/kustomize-controller"

// Parts lists every part, with the versions that the nested modules below
// source (the directory test/cluster) pin.
func Parts(source string) ([]Part, error) {
	kubernetes, err := pinnedVersion(filepath.Join(source, "kubernetes", "go.mod"), "k8s.io/kubernetes")
	if err != nil {
		return nil, err
	}
	etcd, err := pinnedVersion(filepath.Join(source, "etcd", "go.mod"), "go.etcd.io/etcd/server/v3")
	if err != nil {
		return nil, err
	}
	coredns, err := pinnedVersion(filepath.Join(source, "coredns", "go.mod"), "github.com/coredns/coredns")
	if err != nil {
		return nil, err
	}
	flux, err := pinnedVersion(filepath.Join(source, "flux", "go.mod"), fluxController)
	if err != nil {
		return nil, err
	}
	argo, err := pinnedVersion(filepath.Join(source, "argocd", "go.mod"), "github.com/argoproj/argo-cd/v3")
	if err != nil {
		return nil, err
	}
	packages := make([]string, 0, len(kubernetesPrograms))
	for _, p := range kubernetesPrograms {
		packages = append(packages, "k8s.io/kubernetes/cmd/"+p)
	}
	return []Part{
		{
			Name: "kubernetes", Version: kubernetes, Programs: kubernetesPrograms,
			dir: "kubernetes", packages: packages, ldflags: kubernetesVersionFlags(kubernetes),
		},
		{
			Name: "etcd", Version: etcd, Programs: []string{"etcd"},
			dir: "etcd", packages: []string{"go.etcd.io/etcd/server/v3"},
		},
		{
			Name: "coredns", Version: coredns, Programs: []string{"coredns"},
			dir: "coredns", packages: []string{"."},
		},
		{
			Name: "pause", Version: "v1", Programs: []string{"pause"},
			dir: "pause", packages: []string{"."},
		},
		{
			Name: "flux", Version: flux, Programs: []string{"kustomize-controller"},
			dir: "flux", packages: []string{fluxController},
		},
		{
			Name: "argocd", Version: argo, Programs: []string{"argocd-state"},
			dir: "argocd", packages: []string{"."},
		},
	}, nil
}

// kubernetesVersionFlags makes the programs report their version, which a
// build from the module alone does not know.
func kubernetesVersionFlags(version string) string {
	fields := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	const variable = "-X k8s.io/component-base/version."
	flags := []string{variable + "gitVersion=" + version}
	if len(fields) == 3 {
		flags = append(flags, variable+"gitMajor="+fields[0], variable+"gitMinor="+fields[1])
	}
	return strings.Join(flags, " ")
}

// pinnedVersion reads the version of module that the go.mod at file requires.
func pinnedVersion(file, module string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the pinned version of %s (run this from the repository): %w", module, err)
	}
	match := regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(module) + `\s+(v\S+)`).FindSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("%s does not require %s: add the line `require %s VERSION`", file, module, module)
	}
	return string(match[1]), nil
}

// directory is the part's directory name in the cache.
func (p Part) directory() string { return p.Name + "-" + p.Version }

// stamp is a hash of everything that decides the part's content. It is kept
// beside the programs; another stamp means that they are to be made again.
func (p Part) stamp(source string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, p.Name, p.Version, p.packages, p.ldflags)
	var files []string
	for _, pattern := range []string{"go.mod", "go.sum", "*.go"} {
		found, err := filepath.Glob(filepath.Join(source, p.dir, pattern))
		if err != nil {
			return "", fmt.Errorf("list the sources of %s: %w", p.Name, err)
		}
		files = append(files, found...)
	}
	sort.Strings(files)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", fmt.Errorf("read a source of %s: %w", p.Name, err)
		}
		fmt.Fprintln(h, filepath.Base(f), len(text))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
