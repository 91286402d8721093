// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// applyCNI comes before the control plane that injects pods for the plugin.
func (r *Reconciler) applyCNI(ctx context.Context, s *scope) error {
	return r.applyStage(ctx, s, stageCNI)
}

// awaitCNI waits for every node.
func (r *Reconciler) awaitCNI(ctx context.Context, s *scope) error {
	return r.await(ctx, s, stageCNI, v1alpha1.ReasonCNINotReady)
}
