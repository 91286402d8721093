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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/installation"
	"github.com/meshwright/meshwright/internal/cli/precheck"
	"github.com/meshwright/meshwright/internal/cli/printer"
	"github.com/meshwright/meshwright/internal/cli/progress"
	"github.com/meshwright/meshwright/internal/cli/wanted"
	"github.com/meshwright/meshwright/internal/revision"
)

// patience is how long commands wait when nobody says otherwise.
const patience = 5 * time.Minute

// waiting says whether and how long a command waits.
type waiting struct {
	wait  bool
	limit time.Duration
}

func waitFlags(c *cobra.Command, w *waiting) {
	c.Flags().BoolVar(&w.wait, "wait", true, "wait until it is done")
	c.Flags().DurationVar(&w.limit, "timeout", patience, "for how long")
}

// installing are the flags of install.
type installing struct {
	waiting
	wish              wanted.Source
	platform          revision.Platform
	dryRun, yes, skip bool
}

func newInstall(s *session) *cobra.Command {
	i := installing{}
	c := &cobra.Command{
		Use: "install", Short: "Installs the operator, if it is missing, and a mesh", Args: cobra.NoArgs,
		Long: `Installs the operator, if it is missing, and a mesh.

The cluster is looked at first, as by precheck; errors end the installation before it begins. Then the operator's objects are applied, as
kubectl apply -k config/default would, unless an operator is there already, whoever installed it. Then a MeshOperator is written from the files and
flags; one that exists is changed to what they say, after a question. At last the phases are awaited.`,
		Example: "  meshctl install\n  meshctl install --profile demo --registry registry.example.com/mesh --tag v0.1.0\n  meshctl install -f mesh.yaml --set meshConfig.accessLogFile=/dev/stdout",
		RunE:    func(c *cobra.Command, _ []string) error { return s.install(c.Context(), i) },
	}
	wishFlags(c, &i.wish)
	waitFlags(c, &i.waiting)
	f := c.Flags()
	f.StringVar(&i.wish.Name, "name", "", "name of the MeshOperator; empty: the file's, or "+wanted.DefaultName)
	f.StringVar(&i.platform.Registry, "registry", defaultRegistry, "where the operator's image comes from, and those of its meshes unless they say otherwise")
	f.StringVar(&i.platform.Tag, "tag", "", "tag of these images; empty: the version")
	f.BoolVar(&i.dryRun, "dry-run", false, "print what would be written, and write nothing")
	f.BoolVarP(&i.yes, "yes", "y", false, "change a mesh that exists without asking")
	f.BoolVar(&i.skip, "skip-precheck", false, "do not look at the cluster first")
	return c
}

func (s *session) install(ctx context.Context, i installing) error {
	mesh, err := s.read(i.wish)
	if err != nil {
		return err
	}
	c, config, err := s.connect()
	if err != nil {
		return err
	}
	if !i.skip {
		findings, err := runPrecheck(ctx, c, config, mesh)
		if err != nil {
			return err
		}
		writeFindings(s.Err, findings)
		if precheck.Failed(findings) {
			return &exit{code: codePrecheck, err: errors.New("nothing was installed; mend the errors above, or give --skip-precheck")}
		}
	}
	operators, err := census.Operators(ctx, c)
	if err != nil {
		return err
	}
	if i.dryRun {
		return s.dryInstall(i, mesh, len(operators) == 0)
	}
	teller := &progress.Teller{Out: s.Err, Began: time.Now()}
	if err := s.ensureOperator(ctx, c, i, operators, teller); err != nil {
		return err
	}
	live, err := s.put(ctx, c, mesh, i.yes)
	if err != nil {
		return err
	}
	return s.await(ctx, c, live.Name, i.waiting, teller)
}

// dryInstall prints what install would write.
func (s *session) dryInstall(i installing, mesh wanted.Mesh, operator bool) error {
	var objects []*unstructured.Unstructured
	if operator {
		all, err := operatorObjects(i.platform)
		if err != nil {
			return err
		}
		objects = all
	}
	wish, err := asObject(mesh)
	if err != nil {
		return err
	}
	return writeObjects(s.Out, printer.YAML, append(objects, wish))
}

// asObject returns the MeshOperator that somebody wants.
func asObject(mesh wanted.Mesh) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.MeshOperator{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MeshOperator"},
		ObjectMeta: metav1.ObjectMeta{Name: mesh.Name}, Spec: mesh.Spec,
	})
	if err != nil {
		return nil, fmt.Errorf("encode MeshOperator %s: %w", mesh.Name, err)
	}
	delete(fields, "status")
	return &unstructured.Unstructured{Object: fields}, nil
}

// ensureOperator installs the operator when there is none.
func (s *session) ensureOperator(ctx context.Context, c client.Client, i installing, there []census.Operator, teller *progress.Teller) error {
	if len(there) > 0 {
		o := there[0]
		teller.Say("operator", fmt.Sprintf("%s/%s %s is there, installed by %s", o.Namespace, o.Name, o.Version, o.InstalledBy))
		return nil
	}
	objects, err := operatorObjects(i.platform)
	if err != nil {
		return err
	}
	return s.applyOperator(ctx, c, objects, i.waiting, teller)
}

func (s *session) applyOperator(ctx context.Context, c client.Client, objects []*unstructured.Unstructured, w waiting, teller *progress.Teller) error {
	changed := 0
	err := installation.Apply(ctx, c, fieldManager, objects, func(a installation.Applied) {
		if a.Changed {
			changed++
		}
		if a.LeftTo != "" {
			s.note("%s belongs to %s and stays as it is", a.Name, a.LeftTo)
		}
	})
	if err != nil {
		return err
	}
	teller.Say("operator", fmt.Sprintf("%d of %d objects applied", changed, len(objects)))
	bounded, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	if err := installation.Established(bounded, c, objects); err != nil {
		return late(ctx, err, "the operator's definitions are not served")
	}
	if !w.wait {
		return nil
	}
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		if err := installation.Await(bounded, c, types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}); err != nil {
			return late(ctx, err, "the operator does not start")
		}
	}
	teller.Say("operator", "ready")
	return nil
}

// late gives an error the code of a timeout when it is one.
func late(ctx context.Context, err error, what string) error {
	err = fmt.Errorf("%s: %w", what, err)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &exit{code: codeTimeout, err: err}
	}
	return err
}

// await waits for a mesh and prints how it is then.
func (s *session) await(ctx context.Context, c client.Client, name string, w waiting, teller *progress.Teller) error {
	if !w.wait {
		s.note("MeshOperator %s is written; meshctl status says how it comes along", name)
		return nil
	}
	mesh, err := progress.Await(ctx, c, name, w.limit, teller, progress.Ready)
	var timeout *progress.TimeoutError
	if errors.As(err, &timeout) {
		return &exit{code: codeTimeout, err: err}
	}
	if err != nil {
		return err
	}
	describeReady(s.Out, mesh)
	return nil
}

func describeReady(w io.Writer, mesh *v1alpha1.MeshOperator) {
	message := ""
	for _, condition := range mesh.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady {
			message = condition.Message
		}
	}
	fmt.Fprintf(w, "MeshOperator %s is ready: %s\n", mesh.Name, message)
	for _, g := range mesh.Status.Gateways {
		addresses := strings.Join(g.Addresses, ", ")
		if addresses == "" {
			addresses = "no address yet"
		}
		fmt.Fprintf(w, "gateway %s/%s: %s\n", g.Namespace, g.Name, addresses)
	}
}
