// SPDX-License-Identifier: Apache-2.0

// Package golden holds the messages that builders make to files which people read.
package golden

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

// Message is what every generated type of Envoy offers.
type Message interface {
	proto.Message
	Validate() error
}

// Messages compares what each case builds with testdata/CASE.yaml. A file without
// a case fails the test. Each case is built twice, because builders are pure.
func Messages(t *testing.T, cases map[string]func() Message) {
	t.Helper()
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			m := build()
			if err := m.Validate(); err != nil {
				t.Errorf("breaks its own constraints: %v", err)
			}
			if !proto.Equal(m, build()) {
				t.Error("a second message from the same row differs")
			}
			compare(t, filepath.Join("testdata", name+".yaml"), text(t, m))
		})
	}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if cases[strings.TrimSuffix(filepath.Base(f), ".yaml")] != nil {
			continue
		}
		if *update {
			err = os.Remove(f)
		} else {
			t.Errorf("%s belongs to no case; run the test with -update", f)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func text(t *testing.T, m proto.Message) []byte {
	t.Helper()
	packed, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(packed)
	if err != nil {
		t.Fatal(err)
	}
	var tree any // the protobuf module varies its spaces on purpose
	if err := json.Unmarshal(body, &tree); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update and read what it writes", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; got:\n%s", file, got)
	}
}

// Read is the message in a golden file, with pairs of texts replaced.
func Read(file string, oldnew ...string) (proto.Message, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	body = []byte(strings.NewReplacer(oldnew...).Replace(string(body)))
	if body, err = yaml.YAMLToJSON(body); err != nil {
		return nil, err
	}
	packed := &anypb.Any{}
	if err := protojson.Unmarshal(body, packed); err != nil {
		return nil, err
	}
	return packed.UnmarshalNew()
}
