// SPDX-License-Identifier: Apache-2.0

package precheck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// minKernel is the oldest kernel that anybody has tried: that of the oldest
// distributions which Kubernetes of the version that we need still runs on.
const minKernel = "4.19.0"

// architecture is what the images are built for.
const architecture = "amd64"

// kubernetes looks at the API server's version. Proxies are init containers
// that restart, which older ones refuse or do not keep running
// (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/).
func kubernetes(_ context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	info, err := cluster.Discovery.ServerVersion()
	if err != nil {
		return nil, err
	}
	ok, err := satisfies(info.GitVersion, plan.Kubernetes)
	if err != nil || ok {
		return nil, err
	}
	return []Finding{{
		Level: Error, Object: "API server",
		Problem: fmt.Sprintf("Kubernetes %s is too old: native sidecars need %s", info.GitVersion, bound(plan.Kubernetes)),
		Remedy:  "upgrade the cluster",
	}}, nil
}

// satisfies compares a version as Kubernetes writes it, which may end in a
// distribution's name, with a constraint.
func satisfies(version, constraint string) (bool, error) {
	parsed, err := semver.NewVersion(version)
	if err != nil {
		return false, fmt.Errorf("version %q: %w", version, err)
	}
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return false, fmt.Errorf("constraint %q: %w", constraint, err)
	}
	// What stands behind the numbers (-gke.1, -eks-abc, +k3s1) is no earlier version.
	return c.Check(semver.New(parsed.Major(), parsed.Minor(), parsed.Patch(), "", "")), nil
}

// bound writes a constraint for people.
func bound(constraint string) string { return strings.TrimSuffix(constraint, "-0") }

// nodes looks at what the pods will run on.
func nodes(ctx context.Context, cluster Cluster, plan Plan) ([]Finding, error) {
	var all []corev1.Node
	next := ""
	for {
		var list corev1.NodeList
		if err := cluster.Client.List(ctx, &list, client.Limit(500), client.Continue(next)); err != nil {
			return nil, err
		}
		all = append(all, list.Items...)
		if next = list.Continue; next == "" {
			return judgeNodes(all, plan.Kubernetes)
		}
	}
}

// judgeNodes returns one finding for all nodes with the same trouble.
func judgeNodes(all []corev1.Node, constraint string) ([]Finding, error) {
	kubelets, kernels, others := map[string][]string{}, map[string][]string{}, map[string][]string{}
	usable := 0
	for i := range all {
		node := &all[i]
		info := node.Status.NodeInfo
		if info.OperatingSystem != "" && info.OperatingSystem != "linux" || info.Architecture != "" && info.Architecture != architecture {
			kind := info.OperatingSystem + "/" + info.Architecture
			others[kind] = append(others[kind], node.Name)
			continue
		}
		usable++
		if ok, err := satisfies(info.KubeletVersion, constraint); err != nil {
			return nil, fmt.Errorf("node %s: kubelet: %w", node.Name, err)
		} else if !ok {
			kubelets[info.KubeletVersion] = append(kubelets[info.KubeletVersion], node.Name)
		}
		if older(info.KernelVersion, minKernel) {
			kernels[info.KernelVersion] = append(kernels[info.KernelVersion], node.Name)
		}
	}
	var out []Finding
	for _, version := range slices.Sorted(maps.Keys(kubelets)) {
		out = append(out, Finding{
			Level: Error, Object: "nodes " + some(kubelets[version]),
			Problem: fmt.Sprintf("kubelet %s is too old: it does not start native sidecars, so pods with a proxy never get ready there (%s)", version, bound(constraint)),
			Remedy:  "upgrade these nodes, or keep injected pods away from them",
		})
	}
	for _, version := range slices.Sorted(maps.Keys(kernels)) {
		out = append(out, Finding{
			Level: Warning, Object: "nodes " + some(kernels[version]),
			Problem: fmt.Sprintf("kernel %s is older than any that this was tried with (%s)", version, minKernel),
			Remedy:  "upgrade these nodes' system, or try a pod there first",
		})
	}
	for _, kind := range slices.Sorted(maps.Keys(others)) {
		finding := Finding{
			Level: Warning, Object: "nodes " + some(others[kind]),
			Problem: fmt.Sprintf("they are %s, and the images are for linux/%s", kind, architecture),
			Remedy:  "keep pods of the mesh on other nodes: nodeSelector in the MeshOperator and in workloads",
		}
		if usable == 0 {
			finding.Level = Error
		}
		out = append(out, finding)
	}
	return out, nil
}

// older compares a kernel's version with a bound. One that cannot be read is
// not older.
func older(kernel, than string) bool {
	numbers, _, _ := strings.Cut(kernel, "-")
	if strings.Count(numbers, ".") > 2 {
		numbers = strings.Join(strings.Split(numbers, ".")[:3], ".")
	}
	have, err := semver.NewVersion(numbers)
	return err == nil && have.LessThan(semver.MustParse(than))
}
