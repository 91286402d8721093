// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/meshwright/meshwright/internal/ir"
)

// sweep is how often every entry is looked at again: one whose replica died is found that way.
const sweep = 30 * time.Second

// Watch tells the registry of the entries that were registered, until the context ends. Of each only the metadata is read.
func (r *Registry) Watch(ctx context.Context, client metadata.Interface) error {
	informer := metadatainformer.NewFilteredMetadataInformer(client, entries, metav1.NamespaceAll, sweep, cache.Indexers{},
		func(o *metav1.ListOptions) { o.LabelSelector = Label + "=true" }).Informer()
	if err := informer.SetTransform(slim); err != nil {
		return fmt.Errorf("watch WorkloadEntries: %w", err)
	}
	see := func(o any) {
		if found, ok := o.(*metav1.PartialObjectMetadata); ok {
			e := ReadEntry(&found.ObjectMeta)
			r.Observe(keyOf(found), &e)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    see,
		UpdateFunc: func(_, o any) { see(o) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if found, ok := o.(*metav1.PartialObjectMetadata); ok {
				r.Observe(keyOf(found), nil)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch WorkloadEntries: %w", err)
	}
	informer.RunWithContext(ctx)
	return nil
}

func keyOf(o *metav1.PartialObjectMetadata) ir.ConfigKey {
	return ir.ConfigKey{Namespace: o.Namespace, Name: o.Name}
}

// slim drops what is not looked at.
func slim(o any) (any, error) {
	if found, ok := o.(*metav1.PartialObjectMetadata); ok {
		found.ManagedFields, found.OwnerReferences = nil, nil
	}
	return o, nil
}
