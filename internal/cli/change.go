// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/difference"
	"github.com/meshwright/meshwright/internal/cli/wanted"
)

// annotationSource is on MeshOperators that are made from an IstioOperator,
// which puts back what is changed in them.
const annotationSource = "operator.meshwright.dev/istio-operator"

// put writes the MeshOperator that somebody wants. One that exists is changed
// to it, after a question.
func (s *session) put(ctx context.Context, c client.Client, mesh wanted.Mesh, yes bool) (*v1alpha1.MeshOperator, error) {
	live := &v1alpha1.MeshOperator{}
	err := c.Get(ctx, types.NamespacedName{Name: mesh.Name}, live)
	if apierrors.IsNotFound(err) {
		live = &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: mesh.Name}, Spec: mesh.Spec}
		if err := c.Create(ctx, live); err != nil {
			return nil, fmt.Errorf("create MeshOperator %s: %w", mesh.Name, err)
		}
		return live, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read MeshOperator %s: %w", mesh.Name, err)
	}
	return live, s.change(ctx, c, live, mesh.Spec, yes)
}

// change shows what is other in a spec, asks, and writes it. What was shown is
// what is written: when somebody else was faster, nothing is.
func (s *session) change(ctx context.Context, c client.Client, live *v1alpha1.MeshOperator, spec v1alpha1.MeshOperatorSpec, yes bool) error {
	if source := live.Annotations[annotationSource]; source != "" {
		return fmt.Errorf("MeshOperator %s is made from IstioOperator %s, which would put a change back; change that one", live.Name, source)
	}
	if !live.DeletionTimestamp.IsZero() {
		return fmt.Errorf("MeshOperator %s is being deleted; wait until it is gone", live.Name)
	}
	before, err := tree(live.Spec)
	if err != nil {
		return err
	}
	after, err := tree(spec)
	if err != nil {
		return err
	}
	changes := difference.Fields("spec", before, after)
	if len(changes) == 0 && equality.Semantic.DeepEqual(live.Spec, spec) {
		s.note("MeshOperator %s is what is asked for already", live.Name)
		return nil
	}
	s.note("MeshOperator %s:", live.Name)
	for _, one := range changes {
		s.note("  %s", one)
	}
	if others := otherManagers(live.ManagedFields); len(others) > 0 {
		s.note("warning: its spec is also written by %s, which may put this back; change it there, too", strings.Join(others, ", "))
	}
	if !yes {
		if err := s.confirm("Change it?"); err != nil {
			return err
		}
	}
	return write(ctx, c, live, spec)
}

// maxWrites bounds how often a change is sent again because the status was written in between.
const maxWrites = 20

// write sends a spec, and only if nobody changed the one that is there. The operator writes the status all the time
// while it works; that is no reason not to.
func write(ctx context.Context, c client.Client, live *v1alpha1.MeshOperator, spec v1alpha1.MeshOperatorSpec) error {
	for range maxWrites {
		changed := live.DeepCopy()
		changed.Spec = spec
		err := c.Patch(ctx, changed, client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{}))
		if err == nil {
			*live = *changed
			return nil
		}
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("change MeshOperator %s: %w", live.Name, err)
		}
		now := &v1alpha1.MeshOperator{}
		if err := c.Get(ctx, client.ObjectKeyFromObject(live), now); err != nil {
			return fmt.Errorf("read MeshOperator %s: %w", live.Name, err)
		}
		if now.UID != live.UID || now.Generation != live.Generation {
			break
		}
		*live = *now
	}
	return fmt.Errorf("MeshOperator %s was changed meanwhile; nothing was written: look again", live.Name)
}

// confirm asks a question on the error output and reads the answer.
func (s *session) confirm(question string) error {
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(s.In, 256)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	case "":
		return &exit{code: codeFailed, err: errors.New("nothing was changed; answer y, or give --yes where nobody can answer")}
	}
	return &exit{code: codeFailed, err: errors.New("nothing was changed")}
}

// otherManagers are the programs that own fields of a spec: those that deliver
// it from elsewhere. People's tools do not come again by themselves.
func otherManagers(entries []metav1.ManagedFieldsEntry) []string {
	tools := []string{fieldManager, "kubectl", "k9s", "lens", "curl", "meshwright-operator"}
	var out []string
	for _, entry := range entries {
		var fields map[string]any
		if entry.Subresource != "" || entry.FieldsV1 == nil || json.Unmarshal([]byte(entry.FieldsV1.GetRawString()), &fields) != nil || fields["f:spec"] == nil {
			continue
		}
		person := slices.ContainsFunc(tools, func(tool string) bool { return strings.HasPrefix(strings.ToLower(entry.Manager), tool) })
		if !person && !slices.Contains(out, entry.Manager) {
			out = append(out, entry.Manager)
		}
	}
	return out
}

// only returns the MeshOperator of a name, or the only one there is.
func only(ctx context.Context, c client.Client, args []string) (*v1alpha1.MeshOperator, error) {
	if len(args) == 1 {
		found := &v1alpha1.MeshOperator{}
		if err := c.Get(ctx, types.NamespacedName{Name: args[0]}, found); err != nil {
			return nil, fmt.Errorf("read MeshOperator %s: %w", args[0], err)
		}
		return found, nil
	}
	all, err := meshes(ctx, c)
	if err != nil {
		return nil, err
	}
	switch len(all) {
	case 0:
		return nil, errors.New("there is no mesh in this cluster; meshctl install makes one")
	case 1:
		return &all[0], nil
	}
	return nil, usage("there are %d meshes; give the name of one of %s", len(all), strings.Join(names(all), ", "))
}

func names(all []v1alpha1.MeshOperator) []string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = all[i].Name
	}
	return out
}
