// SPDX-License-Identifier: Apache-2.0

// Package helm renders the charts that the operator carries, with the Helm
// engine but without Helm's releases: nothing is installed here and no state
// is kept.
package helm

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Charts is a set of loaded charts. It is safe for concurrent use.
type Charts struct {
	charts map[string]*chart.Chart
	memo   memo
}

// Load reads every directory at the top of files that holds a Chart.yaml. It
// fails when a chart is malformed.
func Load(files fs.FS) (*Charts, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("read charts: %w", err)
	}
	out := &Charts{charts: map[string]*chart.Chart{}}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if _, err := fs.Stat(files, path.Join(entry.Name(), "Chart.yaml")); err != nil {
			continue
		}
		loaded, err := loadDir(files, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("load chart %s: %w", entry.Name(), err)
		}
		out.charts[loaded.Name()] = loaded
	}
	return out, nil
}

func loadDir(files fs.FS, dir string) (*chart.Chart, error) {
	var buffered []*loader.BufferedFile
	err := fs.WalkDir(files, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		buffered = append(buffered, &loader.BufferedFile{Name: strings.TrimPrefix(name, dir+"/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(buffered)
}

// Names returns the names of the charts, sorted.
func (c *Charts) Names() []string { return slices.Sorted(maps.Keys(c.charts)) }

// AppVersion returns the appVersion of a chart, or "" when there is no such chart.
func (c *Charts) AppVersion(name string) string {
	if found, ok := c.charts[name]; ok {
		return found.AppVersion()
	}
	return ""
}

// KubeVersion returns a chart's constraint on the version of Kubernetes, or ""
// when there is no such chart or it has none.
func (c *Charts) KubeVersion(name string) string {
	if found, ok := c.charts[name]; ok && found.Metadata != nil {
		return found.Metadata.KubeVersion
	}
	return ""
}
