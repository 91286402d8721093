// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/blang/semver/v4"
	"github.com/operator-framework/api/pkg/lib/version"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// operatorName is the name of the operator's objects, of its package and of its ClusterServiceVersions.
	operatorName = "meshwright-operator"
	// suggestedNamespace is where consoles put the operator when nobody says otherwise.
	suggestedNamespace = "meshwright-system"
	// created is the day of the release; a clock would make every run another bundle.
	created = "2026-11-21T00:00:00Z"
	project = "https://github.com/meshwright/meshwright"
)

const summary = "Installs, upgrades and repairs a service mesh: own control plane, upstream Envoy, Istio and Kubernetes APIs."

const description = `Meshwright is a service mesh for Kubernetes: a control plane of its own programs the upstream Envoy, and applications keep
the Istio objects that they have. One **MeshOperator** installs a mesh with its gateways:

    apiVersion: operator.meshwright.dev/v1alpha1
    kind: MeshOperator
    metadata:
      name: mesh
    spec:
      profile: default

The operator applies what the mesh needs phase by phase, puts drift back, and says in conditions what it waits for.

### What an install mode means

A mesh is a thing of the cluster: its CRDs, its webhooks and the roles of its control plane have no namespace, and MeshOperator has none either.
So the operator asks for the same rights in every install mode, and every MeshOperator of the cluster is its own, whatever the OperatorGroup
targets. Install it once in a cluster.

### Before it is uninstalled

Delete every MeshOperator first and wait until it is gone, so that the operator removes what it installed. The CRDs stay.
`

// modes says in which OperatorGroups the operator may be. Several namespaces are no mode of its own: nothing in it is
// narrowed to a namespace, and that mode would promise so.
var modes = []v1alpha1.InstallMode{
	{Type: v1alpha1.InstallModeTypeOwnNamespace, Supported: true},
	{Type: v1alpha1.InstallModeTypeSingleNamespace, Supported: true},
	{Type: v1alpha1.InstallModeTypeMultiNamespace, Supported: false},
	{Type: v1alpha1.InstallModeTypeAllNamespaces, Supported: true},
}

// clusterServiceVersion returns the ClusterServiceVersion.
func clusterServiceVersion(s sources) (*v1alpha1.ClusterServiceVersion, error) {
	number, err := semver.Parse(s.version)
	if err != nil {
		return nil, fmt.Errorf("version of the operator: %w", err)
	}
	annotations, err := annotationsOf(s)
	if err != nil {
		return nil, err
	}
	owned, err := owns(s.definitions)
	if err != nil {
		return nil, err
	}
	out := &v1alpha1.ClusterServiceVersion{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: v1alpha1.ClusterServiceVersionKind,
		},
		ObjectMeta: metav1.ObjectMeta{
			// OLM wants one here; it puts another in its place.
			Name: operatorName + ".v" + s.version, Namespace: "placeholder", Annotations: annotations,
			Labels: map[string]string{"operatorframework.io/arch.amd64": "supported", "operatorframework.io/os.linux": "supported"},
		},
		Spec: v1alpha1.ClusterServiceVersionSpec{
			DisplayName: "Meshwright", Description: description, Version: version.OperatorVersion{Version: number},
			Maturity: "alpha", MinKubeVersion: s.minKube,
			Keywords:    []string{"service mesh", "istio", "envoy", "gateway", "mtls"},
			Maintainers: []v1alpha1.Maintainer{{Name: "Meshwright maintainers", Email: "maintainers@meshwright.dev"}},
			Provider:    v1alpha1.AppLink{Name: "Meshwright", URL: project},
			Links: []v1alpha1.AppLink{
				{Name: "Documentation of the operator", URL: project + "/blob/main/docs/operator.md"},
				{Name: "Source", URL: project},
			},
			Icon:                      []v1alpha1.Icon{{Data: base64.StdEncoding.EncodeToString(s.icon), MediaType: "image/svg+xml"}},
			InstallModes:              modes,
			CustomResourceDefinitions: v1alpha1.CustomResourceDefinitions{Owned: owned},
			RelatedImages:             related(s),
		},
	}
	out.Spec.InstallStrategy = v1alpha1.NamedInstallStrategy{
		StrategyName: v1alpha1.InstallStrategyNameDeployment,
		StrategySpec: v1alpha1.StrategyDetailsDeployment{
			ClusterPermissions: []v1alpha1.StrategyDeploymentPermissions{{
				ServiceAccountName: s.deployment.Spec.Template.Spec.ServiceAccountName, Rules: s.role.Rules,
			}},
			DeploymentSpecs: []v1alpha1.StrategyDeploymentSpec{{
				Name: s.deployment.Name, Label: s.deployment.Labels, Spec: deploymentOf(s),
			}},
		},
	}
	return out, nil
}

func annotationsOf(s sources) (map[string]string, error) {
	examples, err := json.MarshalIndent(s.samples, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode samples: %w", err)
	}
	return map[string]string{
		"alm-examples":   string(examples),
		"capabilities":   "Seamless Upgrades",
		"categories":     "Networking",
		"certified":      "false",
		"containerImage": s.image("operator"),
		"createdAt":      created,
		"description":    summary,
		"repository":     project,
		"support":        "Meshwright",
		// What the operator makes itself is not offered to users.
		"operators.operatorframework.io/internal-objects": `["meshrevisions.operator.meshwright.dev"]`,
		"operatorframework.io/suggested-namespace":        suggestedNamespace,
		"operators.operatorframework.io/builder":          "meshwright-bundle",
		// A cluster without the internet mirrors images by digest; a bundle that names tags cannot be mirrored.
		"features.operators.openshift.io/disconnected":     strconv.FormatBool(s.digests != nil),
		"features.operators.openshift.io/fips-compliant":   "false",
		"features.operators.openshift.io/proxy-aware":      "false",
		"features.operators.openshift.io/tls-profiles":     "false",
		"features.operators.openshift.io/token-auth-aws":   "false",
		"features.operators.openshift.io/token-auth-azure": "false",
		"features.operators.openshift.io/token-auth-gcp":   "false",
		"features.operators.openshift.io/cnf":              "false",
		"features.operators.openshift.io/cni":              "false",
		"features.operators.openshift.io/csi":              "false",
	}, nil
}

// deploymentOf is the chart's Deployment, but for what OLM decides: the namespace, which is the pod's own, and the images.
func deploymentOf(s sources) appsv1.DeploymentSpec {
	spec := *s.deployment.Spec.DeepCopy()
	for _, key := range []string{"app.kubernetes.io/managed-by", "helm.sh/chart"} {
		delete(spec.Template.Labels, key)
	}
	container := &spec.Template.Spec.Containers[0]
	container.Image = s.image("operator")
	for _, image := range runtimeImages[1:] {
		if digest, pinned := s.digests[image]; pinned {
			container.Args = append(container.Args, "--image-digest="+image+"="+digest)
		}
	}
	return spec
}

// related lists every image that the operator runs or installs.
func related(s sources) []v1alpha1.RelatedImage {
	var out []v1alpha1.RelatedImage
	for _, image := range runtimeImages {
		out = append(out, v1alpha1.RelatedImage{Name: image, Image: s.image(image)})
	}
	return out
}
