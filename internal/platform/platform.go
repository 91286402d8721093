// SPDX-License-Identifier: Apache-2.0

// Package platform tells what kind of cluster this is, from what a cluster
// says of itself.
package platform

import (
	"regexp"
	"slices"
	"strings"
)

// The platforms. A cluster that is none of them is Plain.
const (
	AKS       = "aks"
	EKS       = "eks"
	GKE       = "gke"
	K3d       = "k3d"
	K3s       = "k3s"
	Kind      = "kind"
	MicroK8s  = "microk8s"
	Minikube  = "minikube"
	OpenShift = "openshift"
	Plain     = "plain"
)

// Names are the names of the platforms, sorted.
func Names() []string {
	return []string{AKS, EKS, GKE, K3d, K3s, Kind, MicroK8s, Minikube, OpenShift, Plain}
}

// Facts are what a cluster says of itself.
type Facts struct {
	// Version is the version of the API server, for example v1.34.1+k3s1.
	Version string
	// Groups are the groups of its API.
	Groups []string
	// Node is one of its nodes, if it was looked at.
	Node Node
}

// Node is what a node says of itself.
type Node struct {
	Name string
	// ProviderID is SCHEME://..., as whoever made the node wrote it.
	ProviderID string
	Labels     map[string]string
}

var (
	openShiftGroups = []string{"config.openshift.io", "route.openshift.io"}
	// googleVersion is as in v1.33.4-gke.1245000.
	googleVersion = regexp.MustCompile(`-gke\.[0-9]+`)
	// amazonVersion is as in v1.33.5-eks-113cf36.
	amazonVersion = regexp.MustCompile(`-eks-[0-9a-f]+`)
)

// OfServer tells the platform by what the API server alone says; ok is false
// where a node must be looked at.
func OfServer(f Facts) (name string, ok bool) {
	switch {
	case slices.ContainsFunc(openShiftGroups, func(group string) bool { return slices.Contains(f.Groups, group) }):
		return OpenShift, true
	case googleVersion.MatchString(f.Version):
		return GKE, true
	case amazonVersion.MatchString(f.Version):
		return EKS, true
	}
	return "", false
}

// Of tells the platform.
func Of(f Facts) string {
	if name, ok := OfServer(f); ok {
		return name
	}
	labelled := func(key string) bool { _, ok := f.Node.Labels[key]; return ok }
	provided := func(prefix string) bool { return strings.HasPrefix(f.Node.ProviderID, prefix) }
	switch {
	case provided("kind://"):
		return Kind
	case strings.Contains(f.Version, "+k3s"):
		// k3d runs k3s in containers that it names so.
		if strings.HasPrefix(f.Node.Name, "k3d-") {
			return K3d
		}
		return K3s
	case labelled("minikube.k8s.io/name"):
		return Minikube
	case labelled("microk8s.io/cluster"):
		return MicroK8s
	case labelled("kubernetes.azure.com/cluster"):
		return AKS
	case labelled("cloud.google.com/gke-nodepool"):
		return GKE
	case labelled("eks.amazonaws.com/nodegroup"):
		return EKS
	}
	return Plain
}
