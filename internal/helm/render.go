// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Service is what templates see as .Release.Service, and so the label
// app.kubernetes.io/managed-by of what the operator applies.
const Service = "meshwright-operator"

// Release is one rendering of a chart.
type Release struct {
	// Chart is the chart's name.
	Chart string
	// Name and Namespace are what templates see as .Release.
	Name, Namespace string
	// Values are merged over the chart's own.
	Values map[string]any
}

// ErrUnknownChart is returned for a chart that the operator does not carry.
var ErrUnknownChart = errors.New("unknown chart")

// ValuesError says that values do not fit a chart's schema.
type ValuesError struct {
	Chart string
	Err   error
}

// Error names the chart, then each violation with its path.
func (e *ValuesError) Error() string {
	return fmt.Sprintf("values of chart %s: %v", e.Chart, e.Err)
}

// Unwrap returns the violation.
func (e *ValuesError) Unwrap() error { return e.Err }

// Render coalesces the values, checks them against the schema, renders the
// templates and returns the objects in Helm's order of installation. The same
// input gives the same output. The objects belong to the caller.
//
// It fails with ErrUnknownChart, a ValuesError, or the template's own error.
func (c *Charts) Render(r Release, kubeVersion string) ([]*unstructured.Unstructured, error) {
	found, ok := c.charts[r.Chart]
	if !ok {
		return nil, fmt.Errorf("%w %q; known are %s", ErrUnknownChart, r.Chart, strings.Join(c.Names(), ", "))
	}
	key, err := memoKey(r, kubeVersion)
	if err != nil {
		return nil, err
	}
	if objects, ok := c.memo.get(key); ok {
		return objects, nil
	}
	objects, err := render(found, r, kubeVersion)
	if err != nil {
		return nil, err
	}
	c.memo.put(key, objects)
	return objects, nil
}

func render(found *chart.Chart, r Release, kubeVersion string) ([]*unstructured.Unstructured, error) {
	caps := chartutil.DefaultCapabilities.Copy()
	if kubeVersion != "" {
		parsed, err := chartutil.ParseKubeVersion(kubeVersion)
		if err != nil {
			return nil, fmt.Errorf("version %q of the API server: %w", kubeVersion, err)
		}
		caps.KubeVersion = *parsed
	}
	options := chartutil.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	// The schema is checked apart, so that its errors can be told from others.
	coalesced, err := chartutil.CoalesceValues(found, r.Values)
	if err != nil {
		return nil, &ValuesError{Chart: r.Chart, Err: err}
	}
	if err := chartutil.ValidateAgainstSchema(found, coalesced); err != nil {
		return nil, &ValuesError{Chart: r.Chart, Err: flatten(err)}
	}
	values, err := chartutil.ToRenderValuesWithSchemaValidation(found, r.Values, options, caps, true)
	if err != nil {
		return nil, &ValuesError{Chart: r.Chart, Err: err}
	}
	release, _ := values["Release"].(map[string]any)
	release["Service"] = Service

	files, err := engine.Render(found, values)
	if err != nil {
		return nil, fmt.Errorf("render chart %s: %w", r.Chart, err)
	}
	maps.DeleteFunc(files, func(name, _ string) bool {
		return path.Base(name) == "NOTES.txt" || strings.HasPrefix(path.Base(name), "_")
	})
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, fmt.Errorf("sort objects of chart %s: %w", r.Chart, err)
	}
	if len(hooks) > 0 {
		return nil, fmt.Errorf("chart %s has the hook %s; hooks are not run by the operator", r.Chart, hooks[0].Name)
	}
	return parse(manifests)
}

func parse(manifests []releaseutil.Manifest) ([]*unstructured.Unstructured, error) {
	out := make([]*unstructured.Unstructured, 0, len(manifests))
	for _, m := range manifests {
		data, err := yaml.YAMLToJSON([]byte(m.Content))
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", m.Name, err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("parse %s: %w", m.Name, err)
		}
		out = append(out, object)
	}
	return out, nil
}

// flatten writes the engine's list of violations, one a line, as one line.
func flatten(err error) error {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
		if line != "" {
			parts = append(parts, line)
		}
	}
	return errors.New(strings.Join(slices.Compact(parts), "; "))
}
