// SPDX-License-Identifier: Apache-2.0

// Package precheck names what would fail, or go wrong later, before anything
// is installed. It only reads.
package precheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/manifest"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	// Error: an installation would not become ready, or would harm what is there.
	Error Level = "error"
	// Warning: something will not work as people may expect, or cannot be seen.
	Warning Level = "warning"
	// Info: good to know.
	Info Level = "info"
)

// Finding is one thing that was found.
type Finding struct {
	Level Level `json:"level"`
	// Check is the name of the check that found it.
	Check string `json:"check"`
	// Object is what it is about, as KIND NAMESPACE/NAME.
	Object string `json:"object"`
	// Problem says what is wrong, Remedy what to do.
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// Cluster is what is asked.
type Cluster struct {
	Client    client.Client
	Discovery discovery.DiscoveryInterface
}

// Plan is what is to be installed.
type Plan struct {
	// Kubernetes is the constraint of the charts on its version, such as ">=1.29.0-0".
	Kubernetes string
	// Operator are the operator's own objects; none when one is installed already.
	Operator []*unstructured.Unstructured
	// Mesh is what the operator would apply.
	Mesh manifest.Manifest
	// Namespaces are those that it is installed into.
	Namespaces []string
	// Name is the MeshOperator's.
	Name string
	// Revision is the name that namespaces say.
	Revision string
}

// check is one question.
type check struct {
	name string
	ask  func(context.Context, Cluster, Plan) ([]Finding, error)
}

// checks lists all questions. None depends on another.
var checks = []check{
	{"kubernetes", kubernetes},
	{"nodes", nodes},
	{"apis", apis},
	{"access", access},
	{"definitions", definitions},
	{"objects", objects},
	{"namespaces", namespaces},
	{"injectors", injectors},
	{"istiod", istiod},
	{"loadbalancer", loadBalancer},
}

// Names returns the names of the checks.
func Names() []string {
	out := make([]string, len(checks))
	for i, c := range checks {
		out[i] = c.name
	}
	return out
}

// Run asks all questions and returns what was found, the worst first. A
// question that cannot be asked is a finding, too.
func Run(ctx context.Context, cluster Cluster, plan Plan) []Finding {
	var out []Finding
	for _, c := range checks {
		found, err := c.ask(ctx, cluster, plan)
		if err != nil {
			found = append(found, Finding{
				Level: Warning, Object: "check " + c.name,
				Problem: fmt.Sprintf("cannot be made: %v", err),
				Remedy:  "allow reading it, or be sure by other means",
			})
		}
		for i := range found {
			found[i].Check = c.name
		}
		out = append(out, found...)
	}
	rank := []Level{Error, Warning, Info}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Compare(slices.Index(rank, a.Level), slices.Index(rank, b.Level))
	})
	return out
}

// Failed says whether one of the findings is an error.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == Error })
}

// some joins names, and cuts a long list.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
