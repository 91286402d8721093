// SPDX-License-Identifier: Apache-2.0

// Package apply puts rendered objects into the cluster by server-side apply
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/), puts
// drift back, and keeps away from what belongs to others.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/health"
)

// Manager is the field manager of everything that the operator applies.
const Manager = "meshwright-operator"

// Applier applies objects. It is safe for concurrent use.
type Applier struct {
	// Client reads from caches that hold only labelled objects.
	Client client.Client
	// Reader reads from the API server.
	Reader client.Reader
	// Clock times contests.
	Clock clock.PassiveClock

	seen    cache
	contest contest
	cursors cursors
}

// Result is what an apply did.
type Result struct {
	// Live is the object as the API server has it.
	Live *unstructured.Unstructured
	// Changed is true when the object was created or changed.
	Changed bool
	// Created is true when the object was not there.
	Created bool
	// Taken are fields that somebody else had changed and that were put back.
	Taken []Conflict
	// Restored are fields of the manifest that had another value, or none.
	Restored []string
	// Left are fields that were left to somebody else.
	Left []Conflict
}

// ForeignError says that an object exists and belongs to somebody else.
type ForeignError struct{ Object, Owner string }

// Error names the object, its owner and the remedy.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s exists already and belongs to %s; delete it, or set the annotation %s=true on it to hand it over",
		e.Object, e.Owner, v1alpha1.AnnotationAdopt)
}

// Digest names the content of a manifest: 16 hex digits of its SHA-256.
func Digest(object *unstructured.Unstructured) (string, error) {
	data, err := json.Marshal(object.Object)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", health.Name(object), err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}

// Apply makes the fields of object those of the live object. An object of the
// same name that another owner has is refused with a ForeignError, unless
// known says that it was ours before. When nothing changed on either side
// since the last apply, nothing is sent.
func (a *Applier) Apply(ctx context.Context, object *unstructured.Unstructured, known bool) (Result, error) {
	digest, err := Digest(object)
	if err != nil {
		return Result{}, err
	}
	live, err := a.observe(ctx, object, known)
	if err != nil {
		return Result{}, err
	}
	if live != nil && a.seen.has(object, live.GetResourceVersion(), digest) {
		return Result{Live: live}, nil
	}
	result, err := a.send(ctx, object)
	if err != nil {
		return Result{}, err
	}
	result.Created = live == nil
	result.Changed = live == nil || live.GetResourceVersion() != result.Live.GetResourceVersion()
	if live != nil && result.Changed {
		result.Restored = restored(object, live, result.Live)
	}
	a.seen.put(object, result.Live.GetResourceVersion(), digest)
	return result, nil
}

// Claimable returns a ForeignError when an object of this name belongs to somebody else. Nothing is written.
func (a *Applier) Claimable(ctx context.Context, object *unstructured.Unstructured, known bool) error {
	_, err := a.observe(ctx, object, known)
	return err
}

// observe returns the live object, or nil when there is none.
func (a *Applier) observe(ctx context.Context, object *unstructured.Unstructured, known bool) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := a.Client.Get(ctx, client.ObjectKeyFromObject(object), live)
	if err == nil {
		return live, refuse(object, live, known)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read %s: %w", health.Name(object), err)
	}
	// The cache holds only what has our label; what is there without it is
	// somebody else's, or ours with the label taken off.
	live = &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err = a.Reader.Get(ctx, client.ObjectKeyFromObject(object), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", health.Name(object), err)
	}
	return live, refuse(object, live, known)
}

// refuse returns a ForeignError when live is not ours to change.
func refuse(object, live *unstructured.Unstructured, known bool) error {
	mine, theirs := object.GetLabels()[v1alpha1.LabelRevision], live.GetLabels()[v1alpha1.LabelRevision]
	if theirs == mine && theirs != "" || live.GetAnnotations()[v1alpha1.AnnotationAdopt] == "true" {
		return nil
	}
	if theirs == "" && known {
		return nil
	}
	owner := "somebody else"
	if release := live.GetAnnotations()["meta.helm.sh/release-name"]; release != "" {
		owner = "the Helm release " + live.GetAnnotations()["meta.helm.sh/release-namespace"] + "/" + release
	}
	if tag, ok := strings.CutPrefix(theirs, v1alpha1.OwnerTag); ok {
		owner = "the MeshRevisionTag " + tag
	} else if theirs != "" {
		owner = "the MeshRevision " + theirs
	}
	return &ForeignError{Object: health.Name(live), Owner: owner}
}

// send applies without force first, to learn who else wants a field.
func (a *Applier) send(ctx context.Context, object *unstructured.Unstructured) (Result, error) {
	var result Result
	sent := object.DeepCopy()
	err := a.patch(ctx, sent, false)
	conflicts := conflictsOf(err)
	if len(conflicts) > 0 {
		sent = object.DeepCopy()
		for _, c := range conflicts {
			if leave(c) {
				result.Left = append(result.Left, c)
				remove(sent, c.Field)
				continue
			}
			result.Taken = append(result.Taken, c)
		}
		if len(result.Taken) > 0 {
			if err := a.contest.enter(a.now(), object, result.Taken); err != nil {
				return result, err
			}
		}
		err = a.patch(ctx, sent, true)
	}
	if err != nil {
		return result, fmt.Errorf("apply %s: %w", health.Name(object), err)
	}
	result.Live = sent
	return result, nil
}

func (a *Applier) patch(ctx context.Context, object *unstructured.Unstructured, force bool) error {
	options := []client.ApplyOption{client.FieldOwner(Manager)}
	if force {
		options = append(options, client.ForceOwnership)
	}
	return a.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
}

func (a *Applier) now() time.Time {
	if a.Clock == nil {
		return time.Now()
	}
	return a.Clock.Now()
}

// Delete asks for the deletion of an object that belongs to revision, and
// tells whether it is gone. An object that is not ours counts as gone.
func (a *Applier) Delete(ctx context.Context, entry v1alpha1.InventoryEntry, revision string) (bool, error) {
	live := &metav1.PartialObjectMetadata{}
	live.APIVersion, live.Kind = apiVersion(entry), entry.Kind
	err := a.Reader.Get(ctx, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}, live)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", Describe(entry), err)
	}
	// Without a label it is ours if it was applied, and somebody else's if it was only going to be.
	if owner := live.Labels[v1alpha1.LabelRevision]; owner != revision && (owner != "" || entry.Digest == "") {
		return true, nil
	}
	if live.DeletionTimestamp != nil {
		return false, nil
	}
	// Foreground: the object is gone when its pods are.
	err = a.Client.Delete(ctx, live, client.PropagationPolicy(metav1.DeletePropagationForeground),
		client.Preconditions{UID: &live.UID})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("delete %s: %w", Describe(entry), err)
	}
	return apierrors.IsNotFound(err), nil
}

// Describe writes an entry as KIND NAMESPACE/NAME.
func Describe(entry v1alpha1.InventoryEntry) string {
	return entry.Kind + " " + strings.TrimPrefix(entry.Namespace+"/"+entry.Name, "/")
}

func apiVersion(entry v1alpha1.InventoryEntry) string {
	if entry.Group == "" {
		return entry.Version
	}
	return entry.Group + "/" + entry.Version
}
