// SPDX-License-Identifier: Apache-2.0

// Package row is what the controllers of configuration kinds share: they fetch an
// object, project it and put the row into the inbox. What an object means is decided
// in internal/projection, and what becomes of it in the mesh; a controller has no
// policy of its own.
package row

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

// Kind is a kind of configuration objects and what is done with them.
type Kind struct {
	Name     string
	Resource schema.GroupVersionResource
	Status   func(status []byte) []byte // what of a status something is projected from; nil: nothing

	take func(object *intake.Object) (write, []ir.Problem)
	drop func(key ir.ConfigKey) write
}

// write puts a row, or that there is none, into a batch; nil leaves the row as it is.
type write func(*intake.Batch)

// Project describes a kind: project makes a row of an object, nil when nothing of it
// can be served, and put writes it into a batch.
func Project[R any](
	name string, resource schema.GroupVersionResource,
	project func(*metav1.ObjectMeta, []byte) (*R, []ir.Problem, error),
	put func(*intake.Batch, ir.ConfigKey, *R),
) Kind {
	set := func(key ir.ConfigKey, row *R) write {
		return func(b *intake.Batch) { put(b, key, row) }
	}
	return Kind{
		Name: name, Resource: resource,
		take: func(o *intake.Object) (write, []ir.Problem) {
			row, problems, err := project(&o.ObjectMeta, o.Spec)
			if err != nil {
				return nil, []ir.Problem{projection.Malformed(name, &o.ObjectMeta, err)}
			}
			return set(ir.ConfigKey{Namespace: o.Namespace, Name: o.Name}, row), problems
		},
		drop: func(key ir.ConfigKey) write { return set(key, nil) },
	}
}

// Remember has a kind read a part of the status as well: read makes a row of it, nil
// when there is none, and put writes that into the batch of the object's own row.
func Remember[R any](
	k Kind, part func(status []byte) []byte, read func(status []byte) *R, put func(*intake.Batch, ir.ConfigKey, *R),
) Kind {
	take, drop := k.take, k.drop
	k.Status = part
	k.take = func(o *intake.Object) (write, []ir.Problem) {
		own, problems := take(o)
		row := read(o.Status)
		return func(b *intake.Batch) {
			if own != nil {
				own(b)
			}
			put(b, ir.ConfigKey{Namespace: o.Namespace, Name: o.Name}, row)
		}, problems
	}
	k.drop = func(key ir.ConfigKey) write {
		own := drop(key)
		return func(b *intake.Batch) {
			own(b)
			put(b, key, nil)
		}
	}
	return k
}

// Reconciler brings the rows of one kind into the inbox.
type Reconciler struct {
	Kind  Kind
	Feed  *intake.Feed
	Inbox *intake.Inbox
	Log   logr.Logger
}

var errPanic = errors.New("the control plane fails on it, which is a fault of the control plane; its log says where")

const msgPanic = "An object could not be projected; what it said before stays in effect"

// Reconcile fetches, projects, puts. It has nothing to try again: what can fail, fails
// in the same way next time.
func (r *Reconciler) Reconcile(_ context.Context, name types.NamespacedName) (reconcile.Result, error) {
	object, ok := r.Feed.Fetch(name)
	if !ok {
		return reconcile.Result{}, nil
	}
	origin := ir.Origin{Kind: r.Kind.Name, Namespace: name.Namespace, Name: name.Name}
	var row write
	var status intake.ConfigStatus
	if object == nil {
		row, status = r.Kind.drop(origin.Key()), intake.ConfigStatus{Deleted: true}
	} else {
		status.UID, status.Generation = string(object.UID), object.Generation
		row, status.Problems = r.project(object)
	}
	r.Inbox.Put(func(b *intake.Batch) {
		if row != nil {
			row(b)
		}
		b.Statuses[origin] = status
	})
	r.Feed.Done(name, object)
	return reconcile.Result{}, nil
}

// project keeps an object that makes our own code fail from ending the process, and
// with it the service of all others: what it said before stays in effect.
func (r *Reconciler) project(object *intake.Object) (row write, problems []ir.Problem) {
	defer func() {
		if cause := recover(); cause != nil {
			r.Log.Error(fmt.Errorf("%v\n%s", cause, debug.Stack()), msgPanic,
				"kind", r.Kind.Name, "namespace", object.Namespace, "name", object.Name)
			row, problems = nil, []ir.Problem{projection.Malformed(r.Kind.Name, &object.ObjectMeta, errPanic)}
		}
	}()
	return r.Kind.take(object)
}
