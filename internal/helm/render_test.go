// SPDX-License-Identifier: Apache-2.0

package helm_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/meshwright/meshwright/internal/helm"
)

// files is a chart with what Render has to deal with.
func files(templates map[string]string) fstest.MapFS {
	out := fstest.MapFS{
		"demo/Chart.yaml":         {Data: []byte("apiVersion: v2\nname: demo\nversion: 1.0.0\nappVersion: v1\n")},
		"demo/values.yaml":        {Data: []byte("count: 1\n")},
		"demo/values.schema.json": {Data: []byte(`{"type":"object","additionalProperties":false,"properties":{"count":{"type":"integer","minimum":1},"global":{"type":"object"}}}`)},
		"notes/README.md":         {Data: []byte("no chart")},
	}
	for name, text := range templates {
		out["demo/templates/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestRender(t *testing.T) {
	charts, err := helm.Load(files(map[string]string{
		"NOTES.txt":  "Thank you",
		"_names.tpl": `{{ define "name" }}n-{{ .Values.count }}{{ end }}`,
		"b.yaml":     "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: {{ include \"name\" . }}, labels: {by: {{ .Release.Service }}, kube: {{ .Capabilities.KubeVersion.Version }}}}\n",
		"a.yaml":     "{{ if gt (int .Values.count) 1 }}\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n{{ end }}",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if charts.AppVersion("demo") != "v1" || charts.AppVersion("none") != "" || len(charts.Names()) != 1 {
		t.Errorf("charts are %v", charts.Names())
	}
	release := helm.Release{Chart: "demo", Name: "r", Namespace: "n", Values: map[string]any{"count": int64(2)}}
	for range 2 {
		objects, err := charts.Render(release, "v1.36.3")
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, object := range objects {
			kinds = append(kinds, object.GetKind())
		}
		if got := strings.Join(kinds, " "); got != "ServiceAccount Secret Deployment" {
			t.Fatalf("kinds are %s, want Helm's order of installation", got)
		}
		last := objects[2]
		if last.GetName() != "n-2" || last.GetLabels()["by"] != helm.Service || last.GetLabels()["kube"] != "v1.36.3" {
			t.Errorf("got %v", last.Object)
		}
		// What is returned belongs to the caller: the second rendering must not see this.
		last.SetName("changed")
	}
	objects, err := charts.Render(helm.Release{Chart: "demo", Name: "r", Namespace: "n"}, "")
	if err != nil || len(objects) != 1 || objects[0].GetName() != "n-1" {
		t.Errorf("with the chart's own values: %v, %v", objects, err)
	}
}

func TestRenderErrors(t *testing.T) {
	charts, err := helm.Load(files(map[string]string{
		"a.yaml": "{{ if eq (int .Values.count) 7 }}{{ fail \"seven is not allowed\" }}{{ end }}" +
			"{{ if eq (int .Values.count) 8 }}apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {\"helm.sh/hook\": pre-install}}\n{{ end }}",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := charts.Render(helm.Release{Chart: "none"}, ""); !errors.Is(err, helm.ErrUnknownChart) || !strings.Contains(err.Error(), "demo") {
		t.Errorf("unknown chart: %v", err)
	}
	for name, c := range map[string]struct {
		values map[string]any
		want   string
		schema bool
	}{
		"unknown value": {map[string]any{"cuont": 1}, "cuont", true},
		"too small":     {map[string]any{"count": 0}, "count", true},
		"wrong type":    {map[string]any{"count": "many"}, "count", true},
		"template":      {map[string]any{"count": 7}, "seven is not allowed", false},
		"hook":          {map[string]any{"count": 8}, "hooks are not run", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := charts.Render(helm.Release{Chart: "demo", Name: "r", Namespace: "n", Values: c.values}, "")
			var wrong *helm.ValuesError
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &wrong) != c.schema {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "\n") && c.schema {
				t.Errorf("the message has several lines: %q", err)
			}
		})
	}
	if _, err := charts.Render(helm.Release{Chart: "demo"}, "not a version"); err == nil {
		t.Error("a version that is none is accepted")
	}
}

func TestLoadMalformed(t *testing.T) {
	if _, err := helm.Load(fstest.MapFS{"bad/Chart.yaml": {Data: []byte("name: [")}}); err == nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("got %v", err)
	}
}
