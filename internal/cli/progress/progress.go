// SPDX-License-Identifier: Apache-2.0

// Package progress tells how the operator comes along with a mesh: a line for
// each change, and what to do when it does not.
package progress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// poll is how often the mesh is looked at.
const poll = 500 * time.Millisecond

// Kinds in errors.
const (
	kindMesh = "MeshOperator"
	kindTag  = "MeshRevisionTag"
)

// Phases are the conditions of a mesh in the order in which they become true,
// and how they are called.
var phases = []struct{ condition, name string }{
	{v1alpha1.ConditionCRDsReady, "definitions"},
	{v1alpha1.ConditionControlPlaneReady, "control plane"},
	{v1alpha1.ConditionWebhooksReady, "webhooks"},
	{v1alpha1.ConditionGatewaysReady, "gateways"},
}

// StalledError says that the operator waits for a user.
type StalledError struct{ Kind, Name, Reason, Message string }

// Error has the operator's words and the remedy.
func (e *StalledError) Error() string {
	out := fmt.Sprintf("%s %s stalls: %s: %s", e.Kind, e.Name, e.Reason, e.Message)
	if remedy := Remedy(e.Reason); remedy != "" {
		out += "\nremedy: " + remedy
	}
	return out
}

// TimeoutError says that a mesh was not ready in time.
type TimeoutError struct {
	Kind, Name string
	Limit      time.Duration
	// Waiting is what it waits for, a line each.
	Waiting []string
	// Removal says that what was installed for it was to be gone.
	Removal bool
}

// Error lists what the mesh waits for.
func (e *TimeoutError) Error() string {
	name := cmp.Or(e.Kind, kindMesh) + " " + e.Name
	out := fmt.Sprintf("%s did not get there in %s; the operator goes on", name, e.Limit)
	if e.Removal {
		out = fmt.Sprintf("%s is gone, and what was installed for it is not after %s; the operator goes on", name, e.Limit)
	}
	for _, line := range e.Waiting {
		out += "\n  " + line
	}
	if e.Removal {
		return out + "\nremedy: kubectl get meshrevisions says how it comes along; --timeout waits longer"
	}
	return out + "\nremedy: meshctl status says how it comes along; --timeout waits longer"
}

// remedies say what to do about a reason of Stalled.
var remedies = map[string]string{
	v1alpha1.ReasonUnknownProfile:   "choose a profile that meshctl profile list has",
	v1alpha1.ReasonUnknownVersion:   "choose a version that this operator installs, or install the operator of that version",
	v1alpha1.ReasonInvalidValues:    "correct the value that the message names",
	v1alpha1.ReasonInvalidOverlay:   "correct the overlay that the message names; meshctl manifest generate shows what there is to change",
	v1alpha1.ReasonRejected:         "correct what the API server names; meshctl manifest diff shows what a change does",
	v1alpha1.ReasonRevisionConflict: "choose another --revision, or delete the mesh that has this one",
	v1alpha1.ReasonObjectConflict:   "delete the object that the message names, or set the annotation " + v1alpha1.AnnotationAdopt + "=true on it to hand it over",
	v1alpha1.ReasonFieldContested:   "stop whoever the message names, or put his wish into spec.overlays",
	v1alpha1.ReasonUpgradeFailed:    "correct what the message names, then change the version again, or go back for good: meshctl rollback",
	v1alpha1.ReasonUpgradeAborted:   "change the version again, or go back for good: meshctl rollback",
}

// Remedy returns what to do about a reason, or "".
func Remedy(reason string) string { return remedies[reason] }

// Teller writes a line for each change.
type Teller struct {
	// Out takes the lines.
	Out io.Writer
	// Began is when the work began; lines say how long that is ago.
	Began time.Time
	said  map[string]string
}

// Say writes a line about something, unless it is what was said of it before.
func (t *Teller) Say(what, line string) {
	if t.said == nil {
		t.said = map[string]string{}
	}
	if t.said[what] == line {
		return
	}
	t.said[what] = line
	fmt.Fprintf(t.Out, "%5.0fs  %-14s %s\n", time.Since(t.Began).Seconds(), what, line)
}

// Mesh says what changed of a mesh.
func (t *Teller) Mesh(m *v1alpha1.MeshOperator) {
	told := map[string]bool{}
	for _, p := range phases {
		c := ConditionOf(m.Status.Conditions, p.condition, m.Generation)
		// A phase that waits for one before it says the same.
		if c == nil || c.Status != metav1.ConditionTrue && told[c.Message] {
			continue
		}
		told[c.Message] = true
		t.Say(p.name, line(c))
	}
	if line := Upgrade(m.Status.Upgrade); line != "" {
		t.Say("upgrade", line)
	}
}

func line(c *metav1.Condition) string {
	if c.Status == metav1.ConditionTrue {
		return "ready"
	}
	if c.Message == "" {
		return c.Reason
	}
	return c.Reason + ": " + c.Message
}

// Upgrade says how far an upgrade is, or "" when there is none.
func Upgrade(u *v1alpha1.UpgradeStatus) string {
	if u == nil {
		return ""
	}
	out := fmt.Sprintf("%s: %s to %s", u.Phase, u.From, u.To)
	if u.From == u.To {
		out = fmt.Sprintf("%s: %s to %s", u.Phase, u.To, Identity(u.Target))
	}
	if u.Steps > 0 {
		out += fmt.Sprintf(", step %d of %d", u.Step, u.Steps)
	}
	if u.Total > 0 {
		out += fmt.Sprintf(", %d of %d workloads", u.Moved, u.Total)
	}
	if u.Message != "" {
		out += ": " + u.Message
	}
	return out
}

// Identity writes what a control plane is in one word.
func Identity(i v1alpha1.Identity) string {
	out := i.Version
	if i.Tag != "" && i.Tag != i.Version {
		out += " (tag " + i.Tag + ")"
	}
	if i.Digests != nil && i.Digests.ControlPlane != "" {
		digest := string(i.Digests.ControlPlane)
		out += " (" + digest[:min(len(digest), 19)] + ")"
	}
	return out
}

// Wanted says whether a mesh is where somebody waits for it to be; an error
// ends the waiting.
type Wanted func(*v1alpha1.MeshOperator) (bool, error)

// Ready waits for Ready of the current generation; Stalled of it is an error.
func Ready(m *v1alpha1.MeshOperator) (bool, error) {
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionStalled); c != nil &&
		c.Status == metav1.ConditionTrue && c.ObservedGeneration == m.Generation {
		return false, &StalledError{Kind: kindMesh, Name: m.Name, Reason: c.Reason, Message: c.Message}
	}
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == m.Generation && m.Status.ObservedGeneration == m.Generation, nil
}

// Await tells what changes of a mesh until it is where it is wanted, and
// returns it as it is then. It fails with a TimeoutError or with what wanted
// returned.
func Await(ctx context.Context, reader client.Reader, name string, limit time.Duration, t *Teller, wanted Wanted) (*v1alpha1.MeshOperator, error) {
	mesh := &v1alpha1.MeshOperator{}
	err := wait.PollUntilContextTimeout(ctx, poll, limit, true, func(ctx context.Context) (bool, error) {
		if err := reader.Get(ctx, types.NamespacedName{Name: name}, mesh); err != nil {
			return false, t.endure(err)
		}
		t.Mesh(mesh)
		return wanted(mesh)
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return mesh, &TimeoutError{Kind: kindMesh, Name: name, Limit: limit, Waiting: Waiting(mesh)}
	}
	return mesh, err
}

// endure tells of an API server that does not answer, which may pass, and
// returns every other error.
func (t *Teller) endure(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown && !apierrors.IsServerTimeout(err) &&
		!apierrors.IsTimeout(err) && !apierrors.IsTooManyRequests(err) && !apierrors.IsServiceUnavailable(err) && !apierrors.IsInternalError(err) {
		return err
	}
	t.Say("API server", err.Error())
	return nil
}

// Gone tells what is awaited until a mesh is gone. It fails with a TimeoutError.
func Gone(ctx context.Context, reader client.Reader, name string, limit time.Duration, t *Teller) error {
	mesh := &v1alpha1.MeshOperator{}
	err := wait.PollUntilContextTimeout(ctx, poll, limit, true, func(ctx context.Context) (bool, error) {
		err := reader.Get(ctx, types.NamespacedName{Name: name}, mesh)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, t.endure(err)
		}
		if c := meta.FindStatusCondition(mesh.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Reason == v1alpha1.ReasonDeleting {
			t.Say("mesh "+name, c.Message)
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &TimeoutError{Kind: kindMesh, Name: name, Limit: limit, Waiting: Waiting(mesh)}
	}
	return err
}

// Waiting says what a mesh waits for, from its conditions.
func Waiting(m *v1alpha1.MeshOperator) []string {
	var out []string
	said := map[string]bool{}
	add := func(name string, c *metav1.Condition) {
		if c != nil && c.Status != metav1.ConditionTrue && !said[c.Message] {
			said[c.Message] = true
			out = append(out, name+": "+line(c))
		}
	}
	for _, p := range phases {
		add(p.name, meta.FindStatusCondition(m.Status.Conditions, p.condition))
	}
	add("mesh", meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady))
	if len(m.Status.Conditions) == 0 {
		out = append(out, "no operator has looked at it yet; meshctl version says whether one runs")
	}
	if line := Upgrade(m.Status.Upgrade); line != "" {
		out = append(out, "upgrade: "+line)
	}
	return out
}
