// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshwright/meshwright/internal/health"
)

// Conflict is a field of ours that another field manager has set.
type Conflict struct {
	// Field is the path as server-side apply writes it, such as .spec.replicas.
	Field string
	// Manager is the other field manager.
	Manager string
}

// String writes the field and who changed it.
func (c Conflict) String() string { return c.Field + " (by " + c.Manager + ")" }

// manager finds the name in 'conflict with "NAME" using apps/v1'.
var manager = regexp.MustCompile(`conflict with "([^"]*)"`)

// conflictsOf returns the conflicts that a server-side apply reported, or none.
func conflictsOf(err error) []Conflict {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var out []Conflict
	for _, cause := range status.Status().Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		c := Conflict{Field: cause.Field, Manager: "somebody"}
		if found := manager.FindStringSubmatch(cause.Message); found != nil {
			c.Manager = found[1]
		}
		out = append(out, c)
	}
	return out
}

// people are field managers behind which a person sits; what a program scales,
// such as an autoscaler, stays the program's.
var people = []string{"kubectl", "k9s", "lens", "helm"}

// leave says whether a field stays with the manager that changed it: the
// number of replicas that an autoscaler chose.
func leave(c Conflict) bool {
	if c.Field != ".spec.replicas" {
		return false
	}
	return !slices.ContainsFunc(people, func(prefix string) bool {
		return strings.HasPrefix(strings.ToLower(c.Manager), prefix)
	})
}

// remove deletes a field of plain names, such as .spec.replicas.
func remove(object *unstructured.Unstructured, field string) {
	unstructured.RemoveNestedField(object.Object, strings.Split(strings.TrimPrefix(field, "."), ".")...)
}

// How often one object's fields are taken back before the operator stops and
// tells: two programs that fight help nobody.
const (
	contestLimit  = 5
	contestWindow = 10 * time.Minute
)

// ContestedError says that somebody keeps changing fields of ours.
type ContestedError struct {
	Object    string
	Conflicts []Conflict
}

// Error names the object, the fields and who changes them.
func (e *ContestedError) Error() string {
	parts := make([]string, len(e.Conflicts))
	for i, c := range e.Conflicts {
		parts[i] = c.String()
	}
	return fmt.Sprintf("%s is changed again and again: %s; stop that, or put the wish into spec.overlays of the MeshOperator",
		e.Object, strings.Join(parts, ", "))
}

// contest counts how often fields of one object were taken back.
type contest struct {
	mu    sync.Mutex
	taken map[string][]time.Time
}

func (c *contest) enter(now time.Time, object *unstructured.Unstructured, conflicts []Conflict) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == nil {
		c.taken = make(map[string][]time.Time)
	}
	for key, times := range c.taken {
		times = slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) > contestWindow })
		if len(times) == 0 {
			delete(c.taken, key)
			continue
		}
		c.taken[key] = times
	}
	if len(c.taken[key(object)]) >= contestLimit {
		return &ContestedError{Object: health.Name(object), Conflicts: conflicts}
	}
	c.taken[key(object)] = append(c.taken[key(object)], now)
	return nil
}
