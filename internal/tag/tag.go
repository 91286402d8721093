// SPDX-License-Identifier: Apache-2.0

// Package tag says what a MeshRevisionTag installs: the webhooks of the control plane's chart under the tag's name,
// answered as those of the revision that it stands for.
package tag

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/helm"
)

// ErrNoControlPlane is returned for a revision that has no control plane, of its own or of another.
var ErrNoControlPlane = errors.New("has no control plane")

// Owner is the value of the label LabelRevision on the objects of a tag.
func Owner(tag string) string { return v1alpha1.OwnerTag + tag }

// Of returns the tag that an object with this value of LabelRevision belongs to; "" for an object of a revision.
func Of(owner string) string {
	name, ok := strings.CutPrefix(owner, v1alpha1.OwnerTag)
	if !ok {
		return ""
	}
	return name
}

// Release is what to render for a tag that stands for a revision with this spec, and the revision that answers. root is
// the PEM that the API server must trust. Who answers, and which workloads are on their way elsewhere, is as the revision's
// own webhooks say. It is a pure function.
func Release(tag, revision string, spec v1alpha1.MeshRevisionSpec, root []byte) (helm.Release, string, error) {
	at := slices.IndexFunc(spec.Components, func(c v1alpha1.Component) bool { return c.Chart == v1alpha1.ChartControlPlane })
	if at < 0 {
		return helm.Release{}, "", fmt.Errorf("MeshRevision %s %w", revision, ErrNoControlPlane)
	}
	component := spec.Components[at]
	var values struct {
		Webhooks map[string]any `json:"webhooks"`
	}
	if component.Values != nil && len(component.Values.Raw) > 0 {
		if err := json.Unmarshal(component.Values.Raw, &values); err != nil {
			return helm.Release{}, "", fmt.Errorf("values of component %s of MeshRevision %s: %w", component.Name, revision, err)
		}
	}
	webhooks := map[string]any{}
	for key, value := range values.Webhooks {
		webhooks[key] = value
	}
	told, _ := webhooks["answeredBy"].(string)
	answering := cmp.Or(told, revision)
	webhooks["answeredBy"], webhooks["caBundle"] = answering, base64.StdEncoding.EncodeToString(root)
	webhooks["validation"] = validation(tag, webhooks["validation"])
	return helm.Release{
		Chart: string(v1alpha1.ChartControlPlane), Name: Owner(tag), Namespace: component.Namespace,
		Values: map[string]any{"revision": tag, "parts": []any{"webhooks"}, "webhooks": webhooks},
	}, answering, nil
}

// validation is the revision's own. Objects without a revision are validated once: by the revision itself, or by the tag
// default if the revision is told not to.
func validation(tag string, of any) map[string]any {
	out := map[string]any{}
	settings, _ := of.(map[string]any)
	for key, value := range settings {
		out[key] = value
	}
	done, told := out["default"].(bool)
	out["default"] = tag == v1alpha1.DefaultRevision && told && !done
	return out
}

// Users are the names of the tags that need the control plane of a MeshRevision: those that it answers, and those that
// stand for it. Who stands for a mesh, whose name is front, needs none of its control planes but the one that answers.
func Users(front, revision string, tags []v1alpha1.MeshRevisionTag) []string {
	var out []string
	for i := range tags {
		if tags[i].Status.Revision == revision || tags[i].Spec.Revision == revision && revision != front {
			out = append(out, tags[i].Name)
		}
	}
	slices.Sort(out)
	return out
}
