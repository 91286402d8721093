// SPDX-License-Identifier: Apache-2.0

// Package edit makes random edits of traffic and security objects that users could
// have made: each passes admission. It knows nothing of the kinds. Objects that are
// known to be good are recombined field by field, so that a field that any of them
// uses is tried in places where nobody thought of it.
package edit

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/projection"
)

// Corpus is the good objects, taken apart.
type Corpus struct {
	kinds    map[string]projection.Kind
	seeds    []seed
	messages map[protoreflect.FullName][]protoreflect.Message // by type
	values   map[protoreflect.FullName][]protoreflect.Value   // scalars by field
	entries  map[protoreflect.FullName][]entry                // of maps, by field
	services []string                                         // manifests
}

type seed struct {
	object
	spec proto.Message
}

type entry struct {
	key   protoreflect.MapKey
	value protoreflect.Value
}

// Read reads the manifests that the archives below a directory apply.
func Read(directory string) (*Corpus, error) {
	c := &Corpus{
		kinds:    map[string]projection.Kind{},
		messages: map[protoreflect.FullName][]protoreflect.Message{},
		values:   map[protoreflect.FullName][]protoreflect.Value{},
		entries:  map[protoreflect.FullName][]entry{},
	}
	for _, k := range (projection.Scope{}).Kinds() {
		c.kinds[k.Name] = k
	}
	files, err := filepath.Glob(filepath.Join(directory, "*.txtar"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, f := range txtar.Parse(content).Files {
			if !strings.HasSuffix(f.Name, "apply.yaml") {
				continue
			}
			for text := range strings.SplitSeq(string(f.Data), "\n---\n") {
				if err := c.add(text); err != nil {
					return nil, fmt.Errorf("%s: %s: %w", file, f.Name, err)
				}
			}
		}
	}
	if len(c.seeds) == 0 || len(c.services) == 0 {
		return nil, fmt.Errorf("no objects to begin with in %s", directory)
	}
	return c, nil
}

// Services is a manifest of each Service of the corpus; of several with one name the first.
func (c *Corpus) Services() []string { return c.services }

// Strings is what the objects of the corpus say in a field of any message.
func (c *Corpus) Strings(field protoreflect.Name) []string {
	var out []string
	for name, values := range c.values {
		if name.Name() != field {
			continue
		}
		for _, v := range values {
			if s, ok := v.Interface().(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

func (c *Corpus) add(text string) error {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		return err
	}
	if head.Kind == "Service" {
		c.services = append(c.services, text)
		return nil
	}
	kind, ok := c.kinds[head.Kind]
	if !ok {
		return nil
	}
	spec := kind.NewSpec()
	body, err := specOf(text)
	if err != nil {
		return err
	}
	if protojson.Unmarshal(body, spec) != nil {
		return nil // one that is refused on purpose
	}
	c.seeds = append(c.seeds, seed{object{head.Kind, head.Metadata.Namespace, head.Metadata.Name}, spec})
	c.takeApart(spec.ProtoReflect())
	return nil
}

func (c *Corpus) takeApart(m protoreflect.Message) {
	name := m.Descriptor().FullName()
	c.messages[name] = append(c.messages[name], m)
	for f, v := range present(m) {
		switch {
		case files[f.Name()]:
			m.Clear(f)
		case f.IsMap():
			c.entries[f.FullName()] = append(c.entries[f.FullName()], entries(v.Map())...)
		case f.IsList():
			for i := range v.List().Len() {
				c.takeValue(f, v.List().Get(i))
			}
		default:
			c.takeValue(f, v)
		}
	}
}

// present are the fields that are set, as they are declared: Range has an order for
// each program, and the same edits must follow from the same seed.
func present(m protoreflect.Message) iter.Seq2[protoreflect.FieldDescriptor, protoreflect.Value] {
	return func(yield func(protoreflect.FieldDescriptor, protoreflect.Value) bool) {
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			if f := fields.Get(i); m.Has(f) && !yield(f, m.Get(f)) {
				return
			}
		}
	}
}

// entries is those of a map in the order of the keys.
func entries(m protoreflect.Map) []entry {
	var out []entry
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		out = append(out, entry{k, v})
		return true
	})
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.key.String(), b.key.String()) })
	return out
}

func (c *Corpus) takeValue(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	if f.Message() != nil {
		c.takeApart(v.Message())
		return
	}
	c.values[f.FullName()] = append(c.values[f.FullName()], v)
}

func specOf(text string) ([]byte, error) {
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	var in struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := yaml.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return in.Spec, nil
}
