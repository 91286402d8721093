// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
)

// Fresh is the layout of a mesh that is installed for the first time.
func Fresh(name string, identity v1alpha1.Identity) Layout {
	return Layout{
		Identities: map[string]v1alpha1.Identity{name: identity}, Entry: name,
		Gateways: Gateways{Revision: name, Identity: identity},
	}
}

// clone returns a layout that shares nothing that a decision changes.
func (l Layout) clone() Layout {
	l.Identities = maps.Clone(l.Identities)
	return l
}

// Equal says whether two layouts ask for the same.
func (l Layout) Equal(other Layout) bool {
	return l.Entry == other.Entry && same(l.Gateways, other.Gateways) && same(l.Identities, other.Identities) && l.Move.equal(other.Move)
}

func (m *Move) equal(other *Move) bool {
	if m == nil || other == nil {
		return m == other
	}
	return m.Revision == other.Revision && same(m.UpTo, other.UpTo) &&
		slices.EqualFunc(m.Namespaces, other.Namespaces, func(a, b labels.Selector) bool { return a.String() == b.String() })
}

// takes says whether a workload belongs to the revision of the move.
func (m *Move) takes(w Workload) bool {
	if m.UpTo != nil && w.Place <= *m.UpTo {
		return true
	}
	return slices.ContainsFunc(m.Namespaces, func(s labels.Selector) bool { return s.Matches(w.Labels) })
}

// same compares plain values; a digest that is not set is not one that is empty.
func same[T any](a, b T) bool { return equality.Semantic.DeepEqual(a, b) }

// revisionFor returns the name of the revision that has an identity, or that
// is free for it.
func revisionFor(name string, identity v1alpha1.Identity, taken map[string]v1alpha1.Identity) string {
	for _, revision := range slices.Sorted(maps.Keys(taken)) {
		if same(taken[revision], identity) {
			return revision
		}
	}
	for salt := 0; ; salt++ {
		candidate := name + "-" + digest(identity, salt)
		if _, used := taken[candidate]; !used {
			return candidate
		}
	}
}

// digest is 8 hex digits of an identity. The salt tells apart those of which
// the first has taken the name and became another in place.
func digest(identity v1alpha1.Identity, salt int) string {
	data, _ := json.Marshal(identity) // strings only: cannot fail
	if salt > 0 {
		data = strconv.AppendInt(data, int64(salt), 10)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:4])
}

// percentile is the highest place of so many percent of the workloads, rounded
// up; nil when there are none. Workloads are in the order of their places.
func percentile(workloads []Workload, percent int32) *placement.Place {
	if percent >= 100 {
		last := placement.Last
		return &last
	}
	count := (len(workloads)*int(percent) + 99) / 100
	if count == 0 {
		return nil
	}
	return &workloads[count-1].Place
}

// Selector reads a label selector in one form, whichever of its two ways of
// asking for a value it uses, so that what is read twice can be compared.
func Selector(in *metav1.LabelSelector) (labels.Selector, error) {
	out := metav1.LabelSelector{MatchExpressions: slices.Clone(in.MatchExpressions)}
	for _, key := range slices.Sorted(maps.Keys(in.MatchLabels)) {
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{in.MatchLabels[key]},
		})
	}
	return metav1.LabelSelectorAsSelector(&out)
}
