// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

// source is one of an Application's sources, as far as the shipped ones go.
type source struct {
	Path string `json:"path"`
	Helm struct {
		ReleaseName  string         `json:"releaseName"`
		ValuesObject map[string]any `json:"valuesObject"`
	} `json:"helm"`
}

// application is an Application of Argo CD, read from the files of a repository.
type application struct {
	files *repository
	// file is the manifest that describes it.
	file string

	namespace string
	sources   []source
}

// newApplication reads an Application that lies in config/gitops/argocd.
func newApplication(t *testing.T, files *repository, name string) *application {
	t.Helper()
	must(t, programs.Ensure(t.Context(), "argocd"))
	a := &application{files: files, file: filepath.Join(files.dir, "config", "gitops", "argocd", name)}
	text, err := os.ReadFile(a.file)
	must(t, err)
	var manifest struct {
		Spec struct {
			Destination struct {
				Namespace string `json:"namespace"`
			} `json:"destination"`
			Sources []source `json:"sources"`
		} `json:"spec"`
	}
	must(t, yaml.Unmarshal(text, &manifest))
	a.namespace, a.sources = manifest.Spec.Destination.Namespace, manifest.Spec.Sources
	return a
}

// render is what Argo CD's repository server does: charts as `helm template` renders them, other directories as they are.
func (a *application) render(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, s := range a.sources {
		dir := filepath.Join(a.files.dir, s.Path)
		if _, err := os.Stat(filepath.Join(dir, "Chart.yaml")); err == nil {
			out.WriteString(a.template(t, dir, s))
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		must(t, err)
		for _, f := range files {
			text, err := os.ReadFile(f)
			must(t, err)
			out.WriteString("\n---\n")
			out.Write(text)
		}
	}
	return out.Bytes()
}

func (a *application) template(t *testing.T, dir string, s source) string {
	t.Helper()
	loaded, err := loader.Load(dir)
	must(t, err)
	version, err := cluster.Kube.Discovery().ServerVersion()
	must(t, err)
	install := action.NewInstall(&action.Configuration{})
	install.DryRun, install.ClientOnly, install.IncludeCRDs, install.Replace = true, true, true, true
	install.ReleaseName, install.Namespace = s.Helm.ReleaseName, a.namespace
	if install.KubeVersion, err = chartutil.ParseKubeVersion(version.GitVersion); err != nil {
		t.Fatal(err)
	}
	release, err := install.RunWithContext(t.Context(), loaded, s.Helm.ValuesObject)
	must(t, err)
	return "\n---\n" + release.Manifest
}

// state is what Argo CD shows of an Application.
type state struct {
	Sync, Health string
	Resources    []resource
}

type resource struct {
	Group, Kind, Namespace, Name string
	Sync, Health, Message        string
	Live, Predicted              json.RawMessage
}

// of is the row of the first resource of a kind.
func (s state) of(kind string) resource {
	for _, r := range s.Resources {
		if r.Kind == kind {
			return r
		}
	}
	return resource{}
}

// trouble lists what is not in step or not healthy.
func (s state) trouble() string {
	var lines []string
	for _, r := range s.Resources {
		if r.Sync != "Synced" {
			lines = append(lines, fmt.Sprintf("%s %s/%s is %s:\n  live      %s\n  predicted %s", r.Kind, r.Namespace, r.Name, r.Sync, r.Live, r.Predicted))
		}
		if r.Health != "" && r.Health != "Healthy" {
			lines = append(lines, fmt.Sprintf("%s %s/%s is %s: %s", r.Kind, r.Namespace, r.Name, r.Health, r.Message))
		}
	}
	return strings.Join(lines, "\n")
}

// ask runs Argo CD's logic: compare or sync, and then what it shows.
func (a *application) ask(ctx context.Context, manifests []byte, verb string, options ...string) (state, error) {
	args := append([]string{verb, "--kubeconfig", cluster.Kubeconfig, "--application", a.file}, options...)
	cmd := exec.CommandContext(ctx, programs.Path("argocd-state"), args...)
	cmd.Stdin = bytes.NewReader(manifests)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return state{}, fmt.Errorf("%s of the Application: %w: %s", verb, err, strings.TrimSpace(problem.String()))
	}
	var s state
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return state{}, fmt.Errorf("read what %s says: %w", verb, err)
	}
	return s, nil
}
