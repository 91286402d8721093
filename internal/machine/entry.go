// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshwright/meshwright/internal/ir"
)

// The annotations of entries. Those that begin with istio.io are of
// https://istio.io/latest/docs/reference/config/annotations/.
const (
	annotationGroup        = "istio.io/autoRegistrationGroup"
	annotationController   = "istio.io/workloadController"
	annotationConnected    = "istio.io/connectedAt"
	annotationDisconnected = "istio.io/disconnectedAt"
	annotationProbed       = "proxy.istio.io/health-checks-enabled"
	// annotationDigest is of what was written, so that a group that changed is told from one that did not.
	annotationDigest = "meshwright.dev/registration-digest"
)

// Label is on every entry that was registered, so that replicas watch these alone.
const Label = "meshwright.dev/registered"

const labelRevision = "istio.io/rev"

// Entry is what the metadata of a WorkloadEntry says of its registration.
type Entry struct {
	UID          types.UID
	Version      string // resourceVersion
	Registered   bool   // not made by a user
	Deleting     bool
	Controller   string // the replica that saw the machine last
	Connected    time.Time
	Disconnected time.Time // zero: it is connected
	Digest       string
}

// ReadEntry reads metadata. An entry counts as registered only with everything that registration writes: it may be
// deleted by what is written here.
func ReadEntry(meta *metav1.ObjectMeta) Entry {
	a := meta.Annotations
	return Entry{
		UID: meta.UID, Version: meta.ResourceVersion, Deleting: meta.DeletionTimestamp != nil,
		Registered: meta.Labels[Label] == "true" && a[annotationGroup] != "" && a[annotationController] != "" && a[annotationDigest] != "",
		Controller: a[annotationController], Connected: stamp(a[annotationConnected]), Disconnected: stamp(a[annotationDisconnected]),
		Digest: a[annotationDigest],
	}
}

func stamp(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// entry is the WorkloadEntry of a machine as it is to be, but for who has it and since when.
type entry struct {
	labels, annotations map[string]string
	spec                map[string]any
	digest              string
}

func want(m *Machine, g *ir.WorkloadGroup, revision string) (*entry, error) {
	e := &entry{
		labels:      map[string]string{},
		annotations: map[string]string{},
		spec:        map[string]any{"address": m.Addr.String(), "serviceAccount": g.Template.ServiceAccount},
	}
	labels := map[string]any{}
	for _, l := range g.Template.Labels {
		e.labels[l.Key], labels[l.Key] = l.Value, l.Value
	}
	if len(labels) > 0 {
		e.spec["labels"] = labels
	}
	for _, l := range g.Annotations {
		e.annotations[l.Key] = l.Value
	}
	ports := map[string]any{}
	for _, p := range g.Template.Ports {
		ports[p.Name] = int64(p.Port)
	}
	if len(ports) > 0 {
		e.spec["ports"] = ports
	}
	if network := cmp.Or(m.Network, g.Template.Network); network != "" {
		e.spec["network"] = network
	}
	if locality := cmp.Or(m.Locality, place(g.Template.Locality)); locality != "" {
		e.spec["locality"] = locality
	}
	if g.Template.Weight > 0 {
		e.spec["weight"] = int64(g.Template.Weight)
	}
	e.labels[Label] = "true"
	if revision != "" {
		e.labels[labelRevision] = revision
	}
	e.annotations[annotationGroup] = g.Origin.Name
	if m.Probed {
		e.annotations[annotationProbed] = "true"
	}
	written, err := json.Marshal([]any{e.labels, e.annotations, e.spec})
	if err != nil {
		return nil, fmt.Errorf("digest of a WorkloadEntry: %w", err)
	}
	e.digest = strconv.FormatUint(xxhash.Sum64(written), 36)
	e.annotations[annotationDigest] = e.digest
	return e, nil
}

func place(l ir.Locality) string {
	return strings.TrimRight(strings.Join([]string{l.Region, l.Zone, l.SubZone}, "/"), "/")
}

// object is a new WorkloadEntry. It goes with its group.
func (e *entry) object(m *Machine, owner types.UID, self string, since time.Time) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind("WorkloadEntry")
	o.SetNamespace(m.Entry.Namespace)
	o.SetName(m.Entry.Name)
	o.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: apiVersion, Kind: "WorkloadGroup", Name: m.Group.Name, UID: owner, Controller: new(true),
	}})
	e.claim(o, self, since)
	return o
}

// claim writes that this replica has the machine, and what the entry is to be.
func (e *entry) claim(o *unstructured.Unstructured, self string, since time.Time) {
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, annotationProbed)
	for k, v := range e.labels {
		labels[k] = v
	}
	for k, v := range e.annotations {
		annotations[k] = v
	}
	annotations[annotationController] = self
	annotations[annotationConnected] = since.UTC().Format(time.RFC3339Nano)
	delete(annotations, annotationDisconnected)
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
	o.Object["spec"] = e.spec
}

// leave writes that the machine is gone.
func leave(o *unstructured.Unstructured, self string, now time.Time) {
	annotations := o.GetAnnotations()
	annotations[annotationController] = self
	annotations[annotationDisconnected] = now.UTC().Format(time.RFC3339Nano)
	o.SetAnnotations(annotations)
}
