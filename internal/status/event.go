// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshwright/meshwright/internal/ir"
)

// Bounds of what is told of one object by Events, and of one of them; the API server
// takes a note of 1 KiB.
const (
	maxEvents = 8
	maxNote   = 1000
	maxName   = 200
)

// Teller tells users something of an object whose status has no place for it.
type Teller interface {
	Tell(ctx context.Context, object ir.Origin, p ir.Problem) error
}

// teller writes Events.
type teller struct {
	client   dynamic.Interface
	instance string
	now      func() time.Time
}

// NewTeller writes Events in the name of a replica. The client's user needs "create" on
// them, and "get" on the objects.
func NewTeller(client dynamic.Interface, instance string) Teller {
	return teller{client, instance, time.Now}
}

// Tell writes an Event whose name follows from what it says, so that the next leader does
// not say it again while it stands.
func (t teller) Tell(ctx context.Context, object ir.Origin, p ir.Problem) error {
	resource, ok := resources[object.Kind]
	if !ok {
		return fmt.Errorf("tell of %s: %w", object, ErrUnknownKind)
	}
	about, err := t.client.Resource(resource).Namespace(object.Namespace).Get(ctx, object.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("tell of %s: %w", object, err)
	}
	note := p.String()
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote], "") + "..."
	}
	sum := fnv.New64a()
	_, _ = fmt.Fprint(sum, about.GetUID(), p.Reason, note)
	event := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "events.k8s.io/v1",
		"kind":       "Event",
		"metadata": map[string]any{
			"namespace": object.Namespace,
			"name":      fmt.Sprintf("%s.%016x", strings.TrimRight(object.Name[:min(len(object.Name), maxName)], ".-"), sum.Sum64()),
		},
		"regarding": map[string]any{
			"apiVersion": resource.GroupVersion().String(), "kind": object.Kind,
			"namespace": object.Namespace, "name": object.Name, "uid": string(about.GetUID()),
		},
		"eventTime":           t.now().UTC().Format(metav1.RFC3339Micro),
		"type":                "Warning",
		"reason":              p.Reason,
		"action":              "Program",
		"note":                note,
		"reportingController": "meshwright.dev/controlplane",
		"reportingInstance":   t.instance,
	}}
	events := schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
	if _, err := t.client.Resource(events).Namespace(object.Namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("tell of %s: %w", object, err)
	}
	return nil
}

// tell says what is wrong with an object since the last time that it was asked, if the
// object is served: what is wrong with that of another controller is not ours to say.
func (w *work) tell(ctx context.Context, key ir.Origin, o *object) error {
	told := w.aggregator.options.Teller
	if told == nil {
		return nil
	}
	var problems []ir.Problem
	if o.served {
		problems = o.problems()
		for resource, message := range o.refused() {
			problems = append(problems, ir.Problem{Reason: reasonRejected, Message: "a proxy refused " + resource + ": " + message})
		}
		slices.SortFunc(problems, ir.Problem.Compare)
	}
	problems = problems[:min(len(problems), maxEvents)]
	w.mu.Lock()
	before := w.told[key]
	w.mu.Unlock()
	for _, p := range problems {
		if slices.Contains(before, p) {
			continue
		}
		if err := w.pace.Wait(ctx); err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, writeTimeout)
		err := told.Tell(bounded, key, p)
		cancel()
		if err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[key] = problems; len(problems) == 0 {
		delete(w.told, key)
	}
	return nil
}
