// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"slices"

	"github.com/meshwright/meshwright/internal/ir"
)

// kindIngress is an Ingress of Kubernetes. Its status has no conditions: it says at
// which addresses clients find it.
const kindIngress = "Ingress"

// lead writes where an Ingress is found. One that is not served, and to which nothing
// was written, is somebody else's and is left alone.
func (w *work) lead(ctx context.Context, key ir.Origin, o *object) error {
	options := &w.aggregator.options
	current := options.Current(key).Addresses
	last := w.last(key, o.uid)
	if !last.at.IsZero() {
		current = last.report.Addresses // what is known of the object may be older
	}
	if len(o.allocated) == 0 && len(last.report.Addresses) == 0 || slices.Equal(o.allocated, current) {
		return nil
	}
	if err := w.pace.Wait(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	next := Report{Addresses: o.allocated}
	if err := options.Writer.Write(bounded, key, o.generation, next); err != nil {
		return err
	}
	w.mu.Lock()
	w.written[key] = written{o.uid, next, options.Now()}
	w.mu.Unlock()
	return nil
}

// points is the status of an Ingress.
func points(addresses []ir.HostAddress) map[string]any {
	if len(addresses) == 0 {
		return map[string]any{}
	}
	all := make([]any, len(addresses))
	for i, a := range addresses {
		point := map[string]any{}
		if a.Addr.IsValid() {
			point["ip"] = a.Addr.String()
		}
		if a.Host != "" {
			point["hostname"] = a.Host
		}
		all[i] = point
	}
	return map[string]any{"loadBalancer": map[string]any{"ingress": all}}
}
