// SPDX-License-Identifier: Apache-2.0

// Package poison is a corpus of objects that must not harm others, with a small mesh
// that they are thrown into.
package poison

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/scenario"
)

// Case is one poisonous object.
type Case struct {
	Name     string
	Object   ir.Origin // who is to blame
	Group    string
	Spec     json.RawMessage
	Manifest string // the object, and the Secret that it names
	Tells    string // what users are told, as the corpus has it
	file     *txtar.Archive
}

const (
	namespace = "shop"
	name      = "poison"
)

var groups = map[string]string{
	"VirtualService": "networking.istio.io", "DestinationRule": "networking.istio.io", "Gateway": "networking.istio.io",
	"Sidecar":               "networking.istio.io",
	"PeerAuthentication":    "security.istio.io",
	"RequestAuthentication": "security.istio.io",
	"ServiceEntry":          "networking.istio.io",
	"WorkloadEntry":         "networking.istio.io",
}

// Corpus is the cases of the files and those that are too large for one.
func Corpus(dir string) ([]Case, map[string]*txtar.Archive, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		return nil, nil, fmt.Errorf("no corpus in %s (%w)", dir, err)
	}
	var out []Case
	archives := map[string]*txtar.Archive{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", file, err)
		}
		archives[file] = archive
		for _, f := range archive.Files {
			short, ok := strings.CutSuffix(f.Name, ".yaml")
			if !ok {
				continue
			}
			c, err := parse(short, f.Data)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %s: %w", file, f.Name, err)
			}
			c.file = archive
			if i := slices.IndexFunc(archive.Files, func(g txtar.File) bool { return g.Name == short+".tells" }); i >= 0 {
				c.Tells = string(archive.Files[i].Data)
			}
			out = append(out, c)
		}
	}
	large, err := large()
	return append(out, large...), archives, err
}

// parse reads KIND, SPEC and the data of a Secret "bad".
func parse(short string, text []byte) (Case, error) {
	var in struct {
		Kind   string            `json:"kind"`
		Spec   any               `json:"spec"`
		Secret map[string]string `json:"secret"`
	}
	if err := yaml.UnmarshalStrict(text, &in); err != nil {
		return Case{}, fmt.Errorf("decode: %w", err)
	}
	c, err := newCase(short, in.Kind, in.Spec)
	if err != nil || in.Secret == nil {
		return c, err
	}
	secret, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "bad", "namespace": "edge"},
		"stringData": in.Secret,
	})
	c.Manifest = string(secret) + "\n---\n" + c.Manifest
	return c, err
}

func newCase(short, kind string, spec any) (Case, error) {
	group, ok := groups[kind]
	if !ok {
		return Case{}, fmt.Errorf("nothing is known of kind %q", kind)
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return Case{}, fmt.Errorf("encode the spec: %w", err)
	}
	object, err := json.Marshal(map[string]any{
		"apiVersion": group + "/v1", "kind": kind, "spec": json.RawMessage(body),
		"metadata": metav1.ObjectMeta{Name: name, Namespace: namespace, CreationTimestamp: metav1.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)},
	})
	if err != nil {
		return Case{}, fmt.Errorf("encode the object: %w", err)
	}
	return Case{
		Name: kind + "/" + short, Object: ir.Origin{Kind: kind, Namespace: namespace, Name: name},
		Group: group, Spec: body, Manifest: string(object),
	}, nil
}

// Town is a mesh in which everything works: a server, a client's sidecar and a gateway.
func Town() (*scenario.World, error) {
	w := scenario.New()
	if err := w.Apply(town); err != nil {
		return nil, fmt.Errorf("build the town: %w", err)
	}
	w.Connect("cart.shop", Sidecar("cart"))
	w.Connect("edge.edge", &ir.Class{
		Role: ir.RoleRouter, Cluster: "east", Namespace: "edge", Workload: "edge", ServiceAccount: "edge",
		Labels: ir.NewLabels(map[string]string{"app": "edge"}),
	})
	_, err := w.Step()
	return w, err
}

// Sidecar is a class of sidecars in the namespace of the poison.
func Sidecar(app string) *ir.Class {
	return &ir.Class{
		Role: ir.RoleSidecar, Cluster: "east", Namespace: namespace, Workload: app, ServiceAccount: app,
		Labels: ir.NewLabels(map[string]string{"app": app}),
	}
}

// Calls are requests of others, which must be answered as before whatever the poison.
var Calls = []string{
	"cart.shop http://web.shop:80/good/things",
	"cart.shop http://web.shop:80/",
	"cart.shop http://cart.shop:80/",
	"cart.shop tcp://bytes.shop:9000/",
	"edge.edge http://shop.example.com:80/",
	"edge.edge https://shop.example.com:443/",
}

// Answers calls everything.
func Answers(w *scenario.World, from string) ([]string, error) {
	var out []string
	for _, call := range Calls {
		call = strings.Replace(call, "cart.shop ", from+" ", 1)
		got, err := w.Call(call)
		if err != nil {
			return nil, err
		}
		_, url, _ := strings.Cut(call, " ")
		out = append(out, url+" -> "+got)
	}
	return out, nil
}
