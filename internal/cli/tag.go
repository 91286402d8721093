// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/printer"
	"github.com/meshwright/meshwright/internal/cli/progress"
)

func newTag(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "tag", Short: "Names of one's own for revisions, which namespaces say in istio.io/rev", Args: cobra.NoArgs,
		Long: `Names of one's own for revisions: namespaces that say istio.io/rev=TAG are served by the revision that the tag names.

The tag default also serves namespaces with istio-injection=enabled.`,
	}
	c.AddCommand(newTagSet(s), newTagList(s), newTagRemove(s))
	return c
}

func newTagSet(s *session) *cobra.Command {
	w, target, yes := waiting{}, "", false
	c := &cobra.Command{
		Use: "set TAG --revision REVISION", Short: "Makes a tag, or leads one to another revision", Args: cobra.ExactArgs(1),
		Example: "  meshctl tag set prod --revision default",
		RunE: func(c *cobra.Command, args []string) error {
			if target == "" {
				return usage("tag set: give --revision")
			}
			writer, _, err := s.connect()
			if err != nil {
				return err
			}
			if err := s.setTag(c.Context(), writer, args[0], target, yes); err != nil {
				return err
			}
			return s.awaitTag(c.Context(), writer, args[0], w)
		},
	}
	waitFlags(c, &w)
	c.Flags().StringVar(&target, "revision", "", "revision of a MeshOperator, or name of a MeshRevision")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "change a tag that exists without asking")
	return c
}

func (s *session) setTag(ctx context.Context, c client.Client, name, target string, yes bool) error {
	live := &v1alpha1.MeshRevisionTag{}
	err := c.Get(ctx, types.NamespacedName{Name: name}, live)
	if apierrors.IsNotFound(err) {
		live = &v1alpha1.MeshRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MeshRevisionTagSpec{Revision: target}}
		if err := c.Create(ctx, live); err != nil {
			return fmt.Errorf("create MeshRevisionTag %s: %w", name, err)
		}
		return nil
	}
	if err != nil {
		return noTags(err, name)
	}
	if live.Spec.Revision == target {
		s.note("MeshRevisionTag %s is what is asked for already", name)
		return nil
	}
	s.note("MeshRevisionTag %s: ~ spec.revision: %q -> %q; pods that start from then on get the other's proxy", name, live.Spec.Revision, target)
	if !yes {
		if err := s.confirm("Change it?"); err != nil {
			return err
		}
	}
	changed := live.DeepCopy()
	changed.Spec.Revision = target
	if err := c.Patch(ctx, changed, client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("change MeshRevisionTag %s: %w", name, err)
	}
	return nil
}

// noTags says so when the operator that is there knows no tags.
func noTags(err error, name string) error {
	if meta.IsNoMatchError(err) {
		return errors.New("this cluster knows no tags; meshctl install, or meshctl upgrade --operator, brings the kind")
	}
	return fmt.Errorf("read MeshRevisionTag %s: %w", name, err)
}

func (s *session) awaitTag(ctx context.Context, c client.Client, name string, w waiting) error {
	if !w.wait {
		return nil
	}
	tag, err := progress.AwaitTag(ctx, c, name, w.limit, &progress.Teller{Out: s.Err, Began: time.Now()})
	var timeout *progress.TimeoutError
	if errors.As(err, &timeout) {
		return &exit{code: codeTimeout, err: err}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "MeshRevisionTag %s is ready: MeshRevision %s answers\n", name, tag.Status.Revision)
	return nil
}

// tagState is a tag in a list.
type tagState struct {
	Name     string `json:"name"`
	Revision string `json:"revision"`
	// Answers is the MeshRevision that is asked.
	Answers string `json:"answers,omitempty"`
	Ready   string `json:"ready"`
	Message string `json:"message,omitempty"`
	// Namespaces say the tag.
	Namespaces []string `json:"namespaces"`
}

// tags lists the tags of a cluster; one that does not know the kind has none.
func tags(ctx context.Context, c client.Client) ([]tagState, error) {
	var list v1alpha1.MeshRevisionTagList
	if err := c.List(ctx, &list); err != nil {
		if census.Unknown(err) {
			return []tagState{}, nil
		}
		return nil, fmt.Errorf("list MeshRevisionTags: %w", err)
	}
	out := []tagState{}
	for i := range list.Items {
		tag := &list.Items[i]
		one := tagState{Name: tag.Name, Revision: tag.Spec.Revision, Answers: tag.Status.Revision, Ready: string(metav1.ConditionUnknown)}
		if ready := progress.ConditionOf(tag.Status.Conditions, v1alpha1.ConditionReady, tag.Generation); ready != nil {
			one.Ready = string(ready.Status)
			if ready.Status != metav1.ConditionTrue {
				one.Message = ready.Reason + ": " + ready.Message
			}
		}
		var err error
		if one.Namespaces, err = sayers(ctx, c, tag.Name); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// sayers are the namespaces that a tag or a revision serves by their labels.
func sayers(ctx context.Context, c client.Client, name string) ([]string, error) {
	var spaces corev1.NamespaceList
	if err := c.List(ctx, &spaces); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	out := []string{}
	for i := range spaces.Items {
		injection, has := spaces.Items[i].Labels["istio-injection"]
		switch {
		case has && injection == "enabled" && name == v1alpha1.DefaultRevision, !has && spaces.Items[i].Labels["istio.io/rev"] == name:
			out = append(out, spaces.Items[i].Name)
		}
	}
	return out, nil
}

func newTagList(s *session) *cobra.Command {
	format := printer.Table
	c := &cobra.Command{
		Use: "list", Short: "Lists the tags, with the namespaces that say them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			reader, _, err := s.connect()
			if err != nil {
				return err
			}
			all, err := tags(c.Context(), reader)
			if err != nil {
				return err
			}
			return printer.Print(s.Out, format, all, func(w io.Writer) { tagTable(w, all) })
		},
	}
	outputFlag(c, &format)
	return c
}

func tagTable(w io.Writer, all []tagState) {
	rows := make([][]string, len(all))
	for i, t := range all {
		rows[i] = []string{t.Name, t.Revision, t.Answers, t.Ready, strings.Join(t.Namespaces, ","), t.Message}
	}
	printer.Columns(w, []string{"TAG", "REVISION", "ANSWERS", "READY", "NAMESPACES", "MESSAGE"}, rows)
}

func newTagRemove(s *session) *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use: "remove TAG", Short: "Removes a tag", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			writer, _, err := s.connect()
			if err != nil {
				return err
			}
			return s.removeTag(c.Context(), writer, args[0], yes)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (s *session) removeTag(ctx context.Context, c client.Client, name string, yes bool) error {
	live := &v1alpha1.MeshRevisionTag{}
	if err := c.Get(ctx, types.NamespacedName{Name: name}, live); err != nil {
		return noTags(err, name)
	}
	served, err := sayers(ctx, c, name)
	if err != nil {
		return err
	}
	if len(served) > 0 {
		s.note("warning: namespaces %s say it: pods that start there from then on have no proxy", strings.Join(served, ", "))
	}
	if !yes {
		if err := s.confirm("Remove MeshRevisionTag " + name + "?"); err != nil {
			return err
		}
	}
	if err := c.Delete(ctx, live, client.Preconditions{UID: &live.UID}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete MeshRevisionTag %s: %w", name, err)
	}
	fmt.Fprintf(s.Out, "MeshRevisionTag %s is removed\n", name)
	return nil
}
