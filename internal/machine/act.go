// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshwright/meshwright/internal/ir"
)

const (
	msgCreated = "registered a machine"
	msgClaimed = "took over a machine"
	msgParted  = "a machine left"
	msgRemoved = "removed the entry of a machine that is gone"
	msgTaken   = "the WorkloadEntry of a machine was made by a user and stays as it is"
	msgRetry   = "could not write about a machine; trying again"

	keyEntry = "workloadEntry"
)

// errElsewhere ends an attempt that another replica was faster than: its change is on the way here.
var errElsewhere = errors.New("it was changed at the same time")

func (r *Registry) act(ctx context.Context, do action, s scene, key ir.ConfigKey, m *Machine, e *entry) error {
	var err error
	var message string
	switch do {
	case create:
		message, err = r.create(ctx, s, m, e)
	case claim:
		message = msgClaimed
		err = r.edit(ctx, key, s.entry, func(o *unstructured.Unstructured) { e.claim(o, s.self, s.since) })
	case part:
		message = msgParted
		err = r.edit(ctx, key, s.entry, func(o *unstructured.Unstructured) { leave(o, s.self, s.now) })
	case remove:
		message = msgRemoved
		err = r.options.Store.Delete(ctx, key, s.entry.UID, s.entry.Version)
	case nothing:
		return nil
	}
	switch {
	case err == nil:
		r.options.Log.Info(message, keyEntry, key.String())
		return nil
	case apierrors.IsNotFound(err) && do != create, apierrors.IsConflict(err), errors.Is(err, errElsewhere):
		return nil // what is known is old; the watch brings what is new
	}
	return err
}

func (r *Registry) create(ctx context.Context, s scene, m *Machine, e *entry) (string, error) {
	owner, err := r.options.Store.Group(ctx, m.Group)
	if err != nil {
		return "", fmt.Errorf("read WorkloadGroup %s: %w", m.Group, err)
	}
	err = r.options.Store.Create(ctx, e.object(m, owner, s.self, s.since))
	if !apierrors.IsAlreadyExists(err) {
		return msgCreated, err
	}
	found, err := r.options.Store.Get(ctx, m.Entry)
	if err != nil {
		return "", err
	}
	meta := metaOf(found)
	if meta.Annotations[annotationGroup] != m.Group.Name {
		return msgTaken, nil
	}
	if _, labelled := meta.Labels[Label]; labelled {
		return "", errElsewhere
	}
	// Registered by another control plane before this one.
	e.claim(found, s.self, s.since)
	return msgClaimed, r.options.Store.Update(ctx, found)
}

// edit changes an entry that is still the one that was decided about.
func (r *Registry) edit(ctx context.Context, key ir.ConfigKey, known *Entry, change func(*unstructured.Unstructured)) error {
	found, err := r.options.Store.Get(ctx, key)
	if err != nil {
		return err
	}
	if found.GetUID() != known.UID || found.GetResourceVersion() != known.Version {
		return errElsewhere
	}
	change(found)
	return r.options.Store.Update(ctx, found)
}
