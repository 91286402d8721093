// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/progress"
	"github.com/meshwright/meshwright/internal/cli/wanted"
	"github.com/meshwright/meshwright/internal/revision"
)

// upgrading are the flags of upgrade.
type upgrading struct {
	waiting
	wish                             wanted.Source
	version, registry, tag, strategy string
	yes, operator                    bool
}

func newUpgrade(s *session) *cobra.Command {
	u := upgrading{}
	c := &cobra.Command{
		Use: "upgrade [NAME]", Short: "Changes a mesh: its version, where its images come from, or any field", Args: cobra.MaximumNArgs(1),
		Long: `Changes a mesh: its version, where its images come from, or any field of its spec. NAME may be left out when there is one mesh.

What changes is shown, and done after a question. With -f the files are the whole new spec; without, the flags go over the one that is there.
Then the upgrade's steps are awaited. With --operator the operator itself is upgraded first, to the version of this meshctl.`,
		Example: "  meshctl upgrade --version v0.2.0 --strategy Canary\n  meshctl upgrade --tag v0.1.1 -y\n  meshctl upgrade mesh -f mesh.yaml",
		RunE:    func(c *cobra.Command, args []string) error { return s.upgrade(c.Context(), u, args) },
	}
	waitFlags(c, &u.waiting)
	f := c.Flags()
	f.StringArrayVarP(&u.wish.Files, "filename", "f", nil, "file with the whole new MeshOperator or IstioOperator, - for the standard input; may be given again")
	f.StringArrayVar(&u.wish.Set, "set", nil, "field of the spec, as in gateways.ingress[0].replicas=2; may be given again")
	f.StringArrayVar(&u.wish.SetString, "set-string", nil, "the same for values that look like numbers and are none")
	f.StringVar(&u.wish.Profile, "profile", "", "profile")
	f.StringVar(&u.version, "version", "", "version to install")
	f.StringVar(&u.registry, "registry", "", "where the mesh's images come from")
	f.StringVar(&u.tag, "tag", "", "tag of the mesh's images")
	f.StringVar(&u.strategy, "strategy", "", "InPlace or Canary")
	f.BoolVar(&u.operator, "operator", false, "upgrade the operator first")
	f.BoolVarP(&u.yes, "yes", "y", false, "do not ask")
	return c
}

func (s *session) upgrade(ctx context.Context, u upgrading, args []string) error {
	c, _, err := s.connect()
	if err != nil {
		return err
	}
	teller := &progress.Teller{Out: s.Err, Began: time.Now()}
	if u.operator {
		if err := s.upgradeOperator(ctx, c, u, teller); err != nil {
			return err
		}
	}
	live, err := only(ctx, c, args)
	if err != nil {
		return err
	}
	spec, err := s.upgraded(live, u)
	if err != nil {
		return err
	}
	if err := s.change(ctx, c, live, spec, u.yes); err != nil {
		return err
	}
	return s.await(ctx, c, live.Name, u.waiting, teller)
}

// upgraded returns the new spec of a mesh.
func (s *session) upgraded(live *v1alpha1.MeshOperator, u upgrading) (v1alpha1.MeshOperatorSpec, error) {
	spec := *live.Spec.DeepCopy()
	if len(u.wish.Files) > 0 {
		files := u.wish
		files.Set, files.SetString = nil, nil
		mesh, err := s.read(files)
		if err != nil {
			return spec, err
		}
		spec = mesh.Spec
	}
	if u.wish.Profile != "" {
		spec.Profile = u.wish.Profile
	}
	if u.version != "" {
		spec.Version = u.version
	}
	if u.registry != "" || u.tag != "" {
		if spec.Image == nil {
			spec.Image = &v1alpha1.Image{}
		}
		// Digests go before a tag, and are those of the images before.
		spec.Image.Digests = nil
		if u.registry != "" {
			spec.Image.Registry = u.registry
		}
		if u.tag != "" {
			spec.Image.Tag = u.tag
		}
	}
	if u.strategy != "" {
		if spec.UpgradeStrategy == nil {
			spec.UpgradeStrategy = &v1alpha1.UpgradeStrategy{}
		}
		spec.UpgradeStrategy.Type = v1alpha1.UpgradeType(u.strategy)
		if spec.UpgradeStrategy.Type != v1alpha1.Canary {
			spec.UpgradeStrategy.Canary = nil
		}
	}
	spec, err := wanted.Set(spec, u.wish.Set, u.wish.SetString)
	if err != nil {
		return spec, &exit{code: codeUsage, err: err}
	}
	return spec, nil
}

// upgradeOperator applies the operator of this version over one that meshctl
// installed. Others are upgraded by who installed them.
func (s *session) upgradeOperator(ctx context.Context, c client.Client, u upgrading, teller *progress.Teller) error {
	there, err := census.Operators(ctx, c)
	if err != nil {
		return err
	}
	if len(there) != 1 {
		return fmt.Errorf("there are %d operators; meshctl install makes the first one", len(there))
	}
	o := there[0]
	if o.InstalledBy != fieldManager {
		return fmt.Errorf("the operator %s/%s was installed by %s; upgrade it by that", o.Namespace, o.Name, o.InstalledBy)
	}
	platform, err := platformOf(ctx, c, o)
	if err != nil {
		return err
	}
	objects, err := operatorObjects(platform)
	if err != nil {
		return err
	}
	return s.applyOperator(ctx, c, objects, u.waiting, teller)
}

// platformOf reads off a running operator where its images come from, so that
// an upgrade leaves that as it is. The tag goes with the version.
func platformOf(ctx context.Context, c client.Client, o census.Operator) (revision.Platform, error) {
	out := revision.Platform{Registry: defaultRegistry}
	var d appsv1.Deployment
	if err := c.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, &d); err != nil {
		return out, fmt.Errorf("read Deployment %s/%s: %w", o.Namespace, o.Name, err)
	}
	if len(d.Spec.Template.Spec.Containers) == 0 {
		return out, errors.New("the operator's Deployment has no container")
	}
	for _, arg := range d.Spec.Template.Spec.Containers[0].Args {
		if registry, ok := strings.CutPrefix(arg, "--image-registry="); ok && registry != "" {
			out.Registry = registry
		}
		// A tag of one's own stays; that of a release goes with the release.
		if tag, ok := strings.CutPrefix(arg, "--image-tag="); ok && tag != o.Version {
			out.Tag = tag
		}
		if digests, ok := strings.CutPrefix(arg, "--image-digest="); ok {
			for _, one := range strings.Split(digests, ",") {
				switch image, digest, _ := strings.Cut(one, "="); image {
				case "controlplane":
					out.Digests.ControlPlane = v1alpha1.Digest(digest)
				case "proxy":
					out.Digests.Proxy = v1alpha1.Digest(digest)
				}
			}
		}
	}
	return out, nil
}
