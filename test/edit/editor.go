// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/meshwright/meshwright/internal/validate"
)

// Edit is one object written or deleted.
type Edit struct {
	Kind, Namespace, Name string
	// Manifest is empty when the object is deleted.
	Manifest string
}

func (e Edit) String() string {
	if e.Manifest == "" {
		return fmt.Sprintf("delete %s %s/%s", e.Kind, e.Namespace, e.Name)
	}
	return "apply " + e.Manifest
}

// Editor makes edits, one after the other. The same source of randomness makes the
// same edits.
type Editor struct {
	// Refused counts the candidates that admission did not let pass.
	Refused int

	corpus    *Corpus
	random    *rand.Rand
	validator *validate.Validator
	names     int
	objects   map[object]proto.Message
	gone      []seed // the last that were deleted
	created   time.Time
}

type object struct{ kind, namespace, name string }

// regrets is how many deleted objects may come back as they were.
const regrets = 4

// NewEditor edits the objects of a corpus, and up to that many others of each kind and namespace.
func NewEditor(c *Corpus, r *rand.Rand, clusterDomain string, names int) *Editor {
	return &Editor{
		corpus: c, random: r, validator: validate.New(clusterDomain), names: names,
		objects: map[object]proto.Message{}, created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// Next is the next edit.
func (e *Editor) Next() Edit {
	for {
		if o, spec := e.some(); spec != nil && e.random.IntN(6) == 0 {
			delete(e.objects, o)
			e.gone = append(e.gone[max(0, len(e.gone)+1-regrets):], seed{o, spec})
			return Edit{Kind: o.kind, Namespace: o.namespace, Name: o.name}
		}
		o, spec := e.candidate()
		manifest, ok := e.admitted(o, spec)
		if !ok {
			e.Refused++
			continue
		}
		e.objects[o] = spec
		return Edit{o.kind, o.namespace, o.name, manifest}
	}
}

func (e *Editor) some() (object, proto.Message) {
	if len(e.objects) == 0 {
		return object{}, nil
	}
	all := slices.SortedFunc(maps.Keys(e.objects), func(a, b object) int {
		return slices.Compare([]string{a.kind, a.namespace, a.name}, []string{b.kind, b.namespace, b.name})
	})
	o := all[e.random.IntN(len(all))]
	return o, e.objects[o]
}

// candidate is an object that exists, a little changed, or a seed, changed more.
func (e *Editor) candidate() (object, proto.Message) {
	if len(e.gone) > 0 && e.random.IntN(4) == 0 { // soon enough for proxies to have something left of it
		back := e.gone[e.random.IntN(len(e.gone))]
		return back.object, back.spec
	}
	o, old := e.some()
	changes := 1 + e.random.IntN(2)
	if old == nil || e.random.IntN(3) == 0 {
		s := e.corpus.seeds[e.random.IntN(len(e.corpus.seeds))]
		o, old = s.object, s.spec
		if e.random.IntN(2) == 0 { // else it has the name by which others refer to it: routes to their gateways, for one
			o.name = fmt.Sprintf("edited-%d", e.random.IntN(e.names))
		}
		changes = e.random.IntN(6)
	}
	spec := proto.Clone(old)
	for range changes {
		e.corpus.mutate(e.random, spec.ProtoReflect())
	}
	return o, spec
}

// admitted is the object's manifest when users could have stored it.
func (e *Editor) admitted(o object, spec proto.Message) (string, bool) {
	kind := e.corpus.kinds[o.kind]
	body, err := json.Marshal(spec)
	if err != nil {
		return "", false // a string that JSON has no words for
	}
	e.created = e.created.Add(time.Second)
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": kind.Group + "/v1", "kind": kind.Name,
		"metadata": map[string]string{"namespace": o.namespace, "name": o.name, "creationTimestamp": e.created.Format(time.RFC3339)},
		"spec":     json.RawMessage(body),
	})
	if err != nil {
		return "", false
	}
	answer := e.validator.Review(context.Background(), &admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Group: kind.Group, Kind: kind.Name},
		Object: runtime.RawExtension{Raw: manifest},
	})
	return string(manifest), answer.Allowed
}
