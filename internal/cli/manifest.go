// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/cli/difference"
	"github.com/meshwright/meshwright/internal/cli/printer"
	"github.com/meshwright/meshwright/internal/cli/wanted"
	"github.com/meshwright/meshwright/internal/manifest"
	"github.com/meshwright/meshwright/internal/revision"
)

func newManifest(s *session) *cobra.Command {
	c := &cobra.Command{Use: "manifest", Short: "Shows the objects of a mesh without installing them", Args: cobra.NoArgs}
	c.AddCommand(newManifestGenerate(s), newManifestDiff(s))
	return c
}

// rendering says how objects are rendered away from a cluster.
type rendering struct {
	wish        wanted.Source
	platform    revision.Platform
	kubeVersion string
}

func renderFlags(c *cobra.Command, r *rendering) {
	wishFlags(c, &r.wish)
	c.Flags().StringVar(&r.platform.Registry, "registry", defaultRegistry, "the operator's registry, for a spec that names none")
	c.Flags().StringVar(&r.platform.Tag, "tag", "", "the operator's tag, for a spec that names none; empty: the version")
	c.Flags().StringVar(&r.kubeVersion, "kube-version", "", "version of Kubernetes to render for; empty: the newest that is known")
}

func newManifestGenerate(s *session) *cobra.Command {
	r, format, operator := rendering{}, printer.YAML, false
	c := &cobra.Command{
		Use: "generate", Short: "Prints what the operator would apply", Args: cobra.NoArgs,
		Long: `Prints what the operator would apply for a mesh: the same objects, rendered by the same charts, in the same order. No cluster is needed.

With --operator, prints the operator's own objects instead.`,
		Example: "  meshctl manifest generate --profile demo\n  meshctl manifest generate -f mesh.yaml --set gateways.ingress[0].replicas=2\n  meshctl manifest generate --operator | kubectl apply --server-side -f -",
		RunE: func(*cobra.Command, []string) error {
			objects, err := s.generate(r, operator)
			if err != nil {
				return err
			}
			return writeObjects(s.Out, format, objects)
		},
	}
	renderFlags(c, &r)
	outputFlag(c, &format)
	c.Flags().BoolVar(&operator, "operator", false, "print the operator's own objects")
	return c
}

func (s *session) generate(r rendering, operator bool) ([]*unstructured.Unstructured, error) {
	if operator {
		return operatorObjects(r.platform)
	}
	mesh, err := s.read(r.wish)
	if err != nil {
		return nil, err
	}
	plan, rendered, err := render(mesh.Spec, r.platform, r.kubeVersion)
	if err != nil {
		return nil, err
	}
	out := rendered.Definitions
	for _, name := range manifest.Namespaces(plan) {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(manifest.Namespace(name, revision.Name(mesh.Spec)))
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", name, err)
		}
		namespace := &unstructured.Unstructured{Object: fields}
		namespace.SetAPIVersion("v1")
		namespace.SetKind("Namespace")
		unstructured.RemoveNestedField(namespace.Object, "status")
		unstructured.RemoveNestedField(namespace.Object, "spec")
		out = append(out, namespace)
	}
	for _, o := range rendered.Objects {
		out = append(out, o.Object)
	}
	return out, nil
}

// operatorObjects are those of the operator, as meshctl installs it.
func operatorObjects(platform revision.Platform) ([]*unstructured.Unstructured, error) {
	loaded, err := operatorCharts()
	if err != nil {
		return nil, fmt.Errorf("load the operator's chart: %w", err)
	}
	return manifest.Operator(loaded, manifest.OperatorNamespace, fieldManager, map[string]any{
		"image": map[string]any{"registry": platform.Registry, "tag": platform.Tag},
	})
}

// writeObjects writes objects as kubectl reads them: documents of YAML, or a
// List as JSON.
func writeObjects(w io.Writer, format printer.Format, objects []*unstructured.Unstructured) error {
	if format == printer.JSON {
		items := make([]any, len(objects))
		for i, object := range objects {
			items[i] = object.Object
		}
		return printer.Print(w, format, map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, nil)
	}
	for _, object := range objects {
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("encode %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if _, err := fmt.Fprintf(w, "---\n%s", data); err != nil {
			return err
		}
	}
	return nil
}

func newManifestDiff(s *session) *cobra.Command {
	r, format, live := rendering{}, printer.Table, false
	c := &cobra.Command{
		Use: "diff A B | diff --live [NAME]", Short: "Shows in which objects and fields two meshes differ, or one and the cluster",
		Long: `Shows in which objects and fields two meshes differ.

A and B are files with a MeshOperator or an IstioOperator, which are rendered, or with objects as manifest generate prints them.
The flags go over both specs.

With --live, shows what the operator would change in the cluster: for the mesh NAME what somebody else has changed of it; with -f and flags what
would become of the cluster with that mesh. The API server is asked what each apply would do, and does none.

The code is 5 when something differs, 0 when nothing does.`,
		Example: "  meshctl manifest diff mesh.yaml mesh-new.yaml\n  meshctl manifest diff --live\n  meshctl manifest diff --live -f mesh-new.yaml",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if live {
				if len(args) > 1 {
					return usage("manifest diff --live: give one name at most")
				}
				changes, err := s.diffLive(c.Context(), r.wish, args)
				if err != nil {
					return err
				}
				return printObjects(s.Out, format, changes)
			}
			if len(args) != 2 || len(r.wish.Files) > 0 {
				return usage("manifest diff: give two files, or --live")
			}
			before, err := s.objects(args[0], r)
			if err != nil {
				return err
			}
			after, err := s.objects(args[1], r)
			if err != nil {
				return err
			}
			return printObjects(s.Out, format, difference.Objects(before, after))
		},
	}
	renderFlags(c, &r)
	outputFlag(c, &format)
	c.Flags().BoolVar(&live, "live", false, "compare with the cluster")
	return c
}

func printObjects(w io.Writer, format printer.Format, objects []difference.Object) error {
	if objects == nil {
		objects = []difference.Object{}
	}
	err := printer.Print(w, format, objects, func(w io.Writer) { difference.Write(w, objects) })
	if err == nil && len(objects) > 0 {
		return &exit{code: codeDiffers}
	}
	return err
}

// objects reads one side of a diff.
func (s *session) objects(file string, r rendering) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, &exit{code: codeUsage, err: fmt.Errorf("read %s: %w", file, err)}
	}
	out, err := decodeObjects(data)
	if err != nil {
		return nil, &exit{code: codeUsage, err: fmt.Errorf("%s: %w", file, err)}
	}
	for _, object := range out {
		if kind := object.GetKind(); kind == "MeshOperator" || kind == "IstioOperator" {
			r.wish.Files = []string{file}
			return s.generate(r, false)
		}
	}
	return out, nil
}

func decodeObjects(data []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var raw runtime.RawExtension
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if len(raw.Raw) == 0 || string(raw.Raw) == "null" {
			continue
		}
		var list struct {
			Kind  string            `json:"kind"`
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(raw.Raw, &list); err != nil {
			return nil, err
		}
		if list.Kind != "List" {
			list.Items = []json.RawMessage{raw.Raw}
		}
		for _, item := range list.Items {
			object := &unstructured.Unstructured{}
			if err := object.UnmarshalJSON(item); err != nil {
				return nil, err
			}
			out = append(out, object)
		}
	}
}
